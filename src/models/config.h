// What an architecture needs to know of a checkpoint: the numbers of config.json or of GGUF metadata.
#pragma once

#include <cstdint>
#include <string>

#include "nn/rope.h"

namespace shardlora {

struct ModelConfig {
  std::string architecture = "llama";  // a row of models/model_spec.cpp
  std::int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t max_positions = 0;
  std::int64_t sliding_window = 0;  // tokens that a token sees, itself among them; 0: all before it
  Rope rope;
  double norm_eps = 1e-5;
  bool tied_embeddings = false;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
};

// Numbers that make no model, or one that the kernels cannot compute, are an Error; `what` opens its text.
void check(const ModelConfig& config, const std::string& what);

// Attention here always reads the whole row. A model with a sliding window is the same as long as rows fit into it;
// a longer one is an Error that says what to change. `what` names the row's length: "sequence_len".
void check_window(const ModelConfig& config, std::int64_t length, const std::string& what);

}  // namespace shardlora
