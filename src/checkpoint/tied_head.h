// Whether a checkpoint's head is its embedding, where its configuration says so.
#pragma once

#include <string>

#include "io/safetensors_folder.h"

namespace shardlora {

inline constexpr const char *kEmbeddingName = "model.embed_tokens.weight", *kHeadName = "lm_head.weight";

// As transformers 5 has it: where the files hold only one of the two matrices, it is both; where they hold both and
// these differ, each is what it is, whatever tie_word_embeddings says, and a warning tells of it. A head of another
// shape is an Error. `config` names the file with tie_word_embeddings: true.
bool head_is_tied(const SafetensorsFolder& files, const std::string& config);

}  // namespace shardlora
