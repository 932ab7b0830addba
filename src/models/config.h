// What an architecture needs to know of a checkpoint: the numbers of config.json or of GGUF metadata.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace shardlora {

struct ModelConfig {
  std::string architecture = "llama";  // a row of models/registry.cpp
  std::int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t max_positions = 0;
  double rope_theta = 10000.0;
  double norm_eps = 1e-5;
  bool tied_embeddings = false;
};

}  // namespace shardlora
