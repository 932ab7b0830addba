// Models by their names on the Hugging Face hub, as other programs have left them in the local cache. Nothing is ever
// downloaded.
#pragma once

#include <filesystem>
#include <string>

namespace shardlora {

// Where the cache may lie, in huggingface_hub's order: $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub,
// $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub; the first of them that is set.
std::filesystem::path hub_cache();

// A path that is there, as it is. Else "org/name" as the folder of its snapshot: the commit that
// models--org--name/refs/main names. An Error says where was looked and how to get it.
std::filesystem::path find_model(const std::string& name);

}  // namespace shardlora
