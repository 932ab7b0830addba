// The architectures that can be built: an explicit list, a row each.
#pragma once

#include <span>

#include "models/model.h"

namespace shardlora {

struct Architecture {
  const char* name;          // ModelConfig::architecture
  const char* hugging_face;  // in `architectures` of config.json
  const char* gguf;          // general.architecture; null: GGUF files call it by another row's name
  std::unique_ptr<Model> (*make)(Device&, const ModelConfig&, const BaseFormats&, const LoraConfig*, DType);
};

std::span<const Architecture> architectures();

}  // namespace shardlora
