#include "models/model_spec.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama", {.gguf_rotary_pairs = true}},
    {"mistral", "MistralForCausalLM", nullptr, {.gguf_rotary_pairs = true}},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", {.qkv_bias = true}},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", {.qk_norm = true}},
};

constexpr const char* kGgufModules[kLinears] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                "ffn_gate", "ffn_up", "ffn_down"};
constexpr std::pair<const char*, const char*> kGgufNorms[] = {{"input_layernorm", "attn_norm"},
                                                              {"post_attention_layernorm", "ffn_norm"},
                                                              {"self_attn.q_norm", "attn_q_norm"},
                                                              {"self_attn.k_norm", "attn_k_norm"}};
constexpr Format kFormatF32{.codec = Codec::kF32};

struct Widths {
  std::int64_t in, out;
};

Widths widths(const ModelConfig& c, std::size_t linear) {
  const std::int64_t query = c.heads * c.head_dim, key = c.kv_heads * c.head_dim;
  switch (linear) {
    case kQ: return {c.hidden, query};
    case kK:
    case kV: return {c.hidden, key};
    case kO: return {query, c.hidden};
    case kDown: return {c.intermediate, c.hidden};
    default: return {c.hidden, c.intermediate};
  }
}

bool has_bias(const ModelConfig& c, std::size_t linear) {
  if (linear <= kV) return c.qkv_bias;
  return linear == kO ? c.o_bias : c.mlp_bias;
}

std::string name_of(std::int64_t layer, std::string_view module) {
  return fmt::format("model.layers.{}.{}", layer, module);
}

std::string last_part(const std::string& module) { return module.substr(module.rfind('.') + 1); }

DecoderTraits traits_of(const std::string& architecture) {
  std::vector<std::string_view> names;
  for (const Architecture& a : kArchitectures) {
    if (architecture == a.name) return a.traits;
    names.emplace_back(a.name);
  }
  fail("unknown architecture \"{}\"; this version knows: {}", architecture, fmt::join(names, ", "));
}

// PEFT adapts all that the expression matches, and stops where that is no linear.
void check_pattern(const ModelConfig& c, const LoraConfig& adapter, const LoraModules& modules) {
  std::vector<std::string> others = {"model", "model.layers", "model.norm", "model.rotary_emb"};
  for (const char* saved : {"model.embed_tokens", "lm_head"})
    if (!adapter.saves(last_part(saved))) others.emplace_back(saved);
  for (std::int64_t i = 0; i < c.layers; ++i)
    for (const char* part : {"", ".self_attn", ".mlp", ".mlp.act_fn", ".input_layernorm", ".post_attention_layernorm",
                             ".self_attn.q_norm", ".self_attn.k_norm"})
      others.push_back(fmt::format("model.layers.{}{}", i, part));
  for (const std::string& other : others)
    if (modules.targets(other))
      fail(
          "lora_target_modules: the regular expression \"{}\" matches {} too, which cannot be adapted; let it match "
          "the "
          "whole names of linears only, such as .*\\.(q_proj|v_proj)",
          adapter.target_pattern, other);
}

// PEFT, told to save one of two tied modules, unties them; here they stay the one matrix that they are.
void check_saved_modules(const ModelConfig& c, const LoraConfig& adapter) {
  for (const std::string& module : adapter.modules_to_save)
    if (module != "embed_tokens" && module != "lm_head")
      fail(
          "lora_modules_to_save: \"{}\" cannot be trained as a whole in this version; choose from embed_tokens, "
          "lm_head",
          module);
  if (c.tied_embeddings && adapter.saves("embed_tokens") != adapter.saves("lm_head"))
    fail(
        "lora_modules_to_save: embedding and head of this model are one matrix (tie_word_embeddings); name both: "
        "[embed_tokens, lm_head]");
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

ModelSpec::ModelSpec(const ModelConfig& config, const FormatOf& format_of, const LoraConfig* adapter,
                     const TableCut& cut)
    : config_(config), traits_(traits_of(config.architecture)) {
  config_.qkv_bias = config_.qkv_bias || traits_.qkv_bias;
  const ModelConfig& c = config_;
  first_adapter_ = traits_.qk_norm ? kKNorm + 1 : kPostNorm + 1;
  for (std::size_t i = 0; i < kLinears; ++i)
    if (has_bias(c, i)) bias_[i] = first_adapter_++;
  adapters_.resize(static_cast<std::size_t>(c.layers));
  if (adapter != nullptr) {
    choose_adapted(*adapter);
    check_saved_modules(c, *adapter);
    dropout_ = static_cast<float>(adapter->dropout);
  }
  const auto saved = [&](const char* module) { return adapter != nullptr && adapter->saves(module); };
  const auto units_of = [&](const std::string& module) {
    return table(module, format_of(module + ".weight"), saved(last_part(module).c_str()), cut);
  };
  const ParamSpec norm{"model.norm.weight", {c.hidden}, kFormatF32};
  std::vector<UnitSpec> embedding = units_of("model.embed_tokens"),
                        head = c.tied_embeddings ? std::vector<UnitSpec>{} : units_of("lm_head");
  (c.tied_embeddings ? embedding : head)[0].params.push_back(norm);
  slices_ = embedding.size();
  units_.push_back(embedding[0]);
  for (std::int64_t i = 0; i < c.layers; ++i) units_.push_back(layer(i, format_of));
  units_.insert(units_.end(), head.begin(), head.end());
  units_.insert(units_.end(), embedding.begin() + 1, embedding.end());
}

std::vector<UnitSpec> ModelSpec::table(const std::string& name, const Format& format, bool trainable,
                                       const TableCut& cut) const {
  const std::int64_t vocab = config_.vocab, width = config_.hidden;
  const std::int64_t most_rows =
      std::max(cut.most_elements / std::max<std::int64_t>(width, 1) / cut.grain, std::int64_t{1}) * cut.grain;
  if (vocab <= most_rows) return {{name, {{name + ".weight", {vocab, width}, format, trainable}}}};
  const std::int64_t slices = (vocab + most_rows - 1) / most_rows,
                     rows = ((vocab + slices - 1) / slices + cut.grain - 1) / cut.grain * cut.grain;
  if (!trainable && rows * width % run_of(format) != 0)
    fail(
        "{}.weight cannot rest in {}: it is cut every {} rows of {} values, which are no whole blocks; choose smaller "
        "blocks (quantization.group_size), or leave it out of quantization.overrides",
        name, name_of(format), rows, width);
  std::vector<UnitSpec> units;
  for (std::int64_t first = 0; first < vocab; first += rows)
    units.push_back({fmt::format("{}.{}", name, units.size()),
                     {{name + ".weight", {std::min(rows, vocab - first), width}, format, trainable, first, vocab}}});
  return units;
}

void ModelSpec::choose_adapted(const LoraConfig& adapter) {
  const LoraModules modules(adapter);
  if (!adapter.target_pattern.empty()) check_pattern(config_, adapter, modules);
  bool any = false;
  for (std::int64_t layer = 0; layer < config_.layers; ++layer) {
    std::size_t trainable = 0;
    for (std::size_t i = 0; i < kLinears; ++i) {
      const std::string name = name_of(layer, kLayerLinears[i]);
      if (!modules.targets(name)) continue;
      adapters_[static_cast<std::size_t>(layer)][i] = {std::exchange(trainable, trainable + 2), modules.rank(name),
                                                       static_cast<float>(modules.scale(name))};
    }
    any = any || trainable > 0;
  }
  for (const std::string& target : adapter.target_modules) {
    const LoraModules alone({.target_modules = {target}});
    bool found = false;
    for (std::int64_t layer = 0; layer < config_.layers; ++layer)
      for (const std::string_view module : kLayerLinears) found = found || alone.targets(name_of(layer, module));
    if (!found)
      fail("lora_target_modules: this model has no \"{}\"; its linears are {}", target,
           fmt::join(names_of_linears(), ", "));
  }
  if (any) return;
  if (!adapter.target_pattern.empty())
    fail(
        "lora_target_modules: the regular expression \"{}\" matches no linear of this model; it has to match the whole "
        "name, such as {}; the linears are {}",
        adapter.target_pattern, name_of(0, kLayerLinears[kQ]), fmt::join(names_of_linears(), ", "));
  if (!adapter.layers_to_transform.empty())
    fail(
        "lora_layers_to_transform: none of these layers is in this model, whose {} layers are called model.layers.0 "
        "and "
        "so on; choose from 0 to {}",
        config_.layers, config_.layers - 1);
  fail("lora_target_modules is empty; choose from {}", fmt::join(names_of_linears(), ", "));
}

UnitSpec ModelSpec::layer(std::int64_t index, const FormatOf& format_of) const {
  const ModelConfig& c = config_;
  UnitSpec unit{fmt::format("model.layers.{}", index), {}};
  for (std::size_t i = 0; i < kLinears; ++i) {
    const std::string name = fmt::format("{}.{}.weight", unit.name, kLayerLinears[i]);
    unit.params.push_back({name, {widths(c, i).out, widths(c, i).in}, format_of(name)});
  }
  unit.params.push_back({unit.name + ".input_layernorm.weight", {c.hidden}, kFormatF32});
  unit.params.push_back({unit.name + ".post_attention_layernorm.weight", {c.hidden}, kFormatF32});
  if (traits_.qk_norm) {
    unit.params.push_back({unit.name + ".self_attn.q_norm.weight", {c.head_dim}, kFormatF32});
    unit.params.push_back({unit.name + ".self_attn.k_norm.weight", {c.head_dim}, kFormatF32});
  }
  for (std::size_t i = 0; i < kLinears; ++i)
    if (bias_[i])
      unit.params.push_back({fmt::format("{}.{}.bias", unit.name, kLayerLinears[i]), {widths(c, i).out}, kFormatF32});
  CHECK(unit.params.size() == first_adapter_, "{} parameters before the adapters of {}, not {}", unit.params.size(),
        unit.name, first_adapter_);
  for (std::size_t i = 0; i < kLinears; ++i) {
    const std::optional<LinearAdapter>& adapter = adapters_[static_cast<std::size_t>(index)][i];
    if (!adapter) continue;
    const std::string prefix = fmt::format("{}.{}.lora_", unit.name, kLayerLinears[i]);
    unit.params.push_back({prefix + "A.weight", {adapter->rank, widths(c, i).in}, kFormatF32, true});
    unit.params.push_back({prefix + "B.weight", {widths(c, i).out, adapter->rank}, kFormatF32, true});
  }
  return unit;
}

bool is_linear(const std::string& parameter) { return parameter.starts_with("model.layers."); }

FormatOf rest_as(const Format& linears, const Format& tables) {
  return [=](const std::string& parameter) { return is_linear(parameter) ? linears : tables; };
}

StoredName gguf_name(const ModelConfig& config, const std::string& parameter) {
  if (parameter == "model.embed_tokens.weight") return {"token_embd.weight"};
  if (parameter == "model.norm.weight") return {"output_norm.weight"};
  if (parameter == "lm_head.weight") return {"output.weight"};
  // "model.layers.7.mlp.up_proj.weight" -> "blk.7.ffn_up.weight"
  const std::string_view rest = std::string_view(parameter).substr(std::string_view("model.layers.").size());
  const std::size_t dot = rest.find('.'), last = rest.rfind('.');
  const std::string_view layer = rest.substr(0, dot), module = rest.substr(dot + 1, last - dot - 1),
                         kind = rest.substr(last + 1);
  for (const auto& [ours, theirs] : kGgufNorms)
    if (module == ours) return {fmt::format("blk.{}.{}.{}", layer, theirs, kind)};
  for (std::size_t i = 0; i < kLinears; ++i) {
    if (module != kLayerLinears[i]) continue;
    const std::int64_t heads = i == kQ ? config.heads : i == kK ? config.kv_heads : 0;
    return {fmt::format("blk.{}.{}.{}", layer, kGgufModules[i], kind),
            traits_of(config.architecture).gguf_rotary_pairs ? heads : 0};
  }
  CHECK(false, "{} has no name in GGUF", parameter);
  return {};
}

}  // namespace shardlora
