#include "models/llama.h"

#include <fmt/ranges.h>

namespace shardlora {
namespace {

struct Architecture {
  const char* name;
  std::unique_ptr<Model> (*make)(Device&, const ModelConfig&, const BaseFormats&, const LoraConfig*, DType);
};

constexpr Architecture kArchitectures[] = {
    {"llama", make_llama},
};

}  // namespace

std::vector<std::string> known_architectures() {
  std::vector<std::string> names;
  for (const Architecture& a : kArchitectures) names.emplace_back(a.name);
  return names;
}

std::unique_ptr<Model> make_model(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype) {
  for (const Architecture& a : kArchitectures)
    if (config.architecture == a.name) return a.make(device, config, base, adapter, dtype);
  fail("unknown architecture \"{}\"; this version knows: {}", config.architecture,
       fmt::join(known_architectures(), ", "));
}

}  // namespace shardlora
