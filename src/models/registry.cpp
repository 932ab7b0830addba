#include "models/registry.h"

#include <fmt/ranges.h>

#include "models/llama.h"
#include "models/mistral.h"
#include "models/qwen2.h"
#include "models/qwen3.h"

namespace shardlora {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama", make_llama},
    {"mistral", "MistralForCausalLM", nullptr, make_mistral},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", make_qwen2},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", make_qwen3},
};

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

std::unique_ptr<Model> make_model(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype) {
  std::vector<std::string> names;
  for (const Architecture& a : kArchitectures) {
    if (config.architecture == a.name) return a.make(device, config, base, adapter, dtype);
    names.emplace_back(a.name);
  }
  fail("unknown architecture \"{}\"; this version knows: {}", config.architecture, fmt::join(names, ", "));
}

}  // namespace shardlora
