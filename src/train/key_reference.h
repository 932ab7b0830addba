// Which keys of a recipe are understood, and what becomes of other trainers' keys, as text from the tables themselves.
#pragma once

#include <string>

namespace shardlora {

// docs/keys.md
std::string keys_markdown();

}  // namespace shardlora
