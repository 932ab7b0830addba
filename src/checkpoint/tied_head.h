// Whether a checkpoint's head is its embedding, where its configuration says so.
#pragma once

#include <map>
#include <string>

#include "checkpoint/bitsandbytes.h"

namespace shardlora {

inline constexpr const char *kEmbeddingName = "model.embed_tokens.weight", *kHeadName = "lm_head.weight";

// As transformers 5 has it: where the files hold only one of the two matrices, it is both; where they hold both and
// these differ, each is what it is, whatever tie_word_embeddings says, and a warning tells of it. So is a head that
// bitsandbytes packed: transformers leaves tied matrices as they are, so it comes from a model that was not tied. A
// head of another shape is an Error. `packed`: bitsandbytes_weights(files). `config` names the file with
// tie_word_embeddings: true.
bool head_is_tied(const SafetensorsFolder& files, const std::map<std::string, BitsandbytesWeight>& packed,
                  const std::string& config);

}  // namespace shardlora
