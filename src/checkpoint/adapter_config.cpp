#include "checkpoint/adapter_config.h"

#include <algorithm>
#include <cmath>

#include "base/ascii.h"
#include "base/error.h"
#include "checkpoint/adapter_keys.h"
#include "io/json.h"

namespace shardlora {
namespace {

using json = nlohmann::ordered_json;

constexpr std::int64_t kLargestRank = 65536;

double number(const json& config, const char* key, double fallback, std::string_view what) {
  const auto found = config.find(key);
  if (found == config.end()) return fallback;
  if (!found->is_number()) fail("{}: {} is {}; it has to be a number", what, key, found->dump());
  return found->get<double>();
}

bool flag(const json& config, const char* key, std::string_view what) {
  const json value = config.value(key, json());
  if (value.is_null()) return false;
  if (!value.is_boolean()) fail("{}: {} is {}; it has to be true or false", what, key, value.dump());
  return value.get<bool>();
}

bool is_empty_text(const json& value) { return value.is_string() && value.get_ref<const std::string&>().empty(); }

// One word or a list of them, both of which PEFT takes.
std::vector<std::string> words(const json& config, const char* key, std::string_view what) {
  const json value = config.value(key, json());
  std::vector<std::string> list;
  if (value.is_null() || is_empty_text(value)) return list;
  for (const json& word : value.is_array() ? value : json::array({value})) {
    if (!word.is_string() || word.get<std::string>().empty())
      fail("{}: {} holds {}; it has to be a list of names", what, key, word.dump());
    list.push_back(word.get<std::string>());
  }
  return list;
}

void check_saved_modules(const json& config, std::string_view what) {
  for (const std::string& name : words(config, "modules_to_save", what)) {
    const std::string last = name.substr(name.rfind('.') + 1);
    if (last != "embed_tokens" && last != "lm_head")
      fail("{}: modules_to_save has {}; only embed_tokens and lm_head can be read", what, name);
  }
}

void read_targets(LoraConfig& lora, const json& config, std::string_view what) {
  const json targets = config.value("target_modules", json());
  if (targets.is_string() && !is_empty_text(targets)) {
    const auto word = targets.get<std::string>();
    if (lower_case(word) != "all-linear") lora.target_pattern = word;
    return;
  }
  lora.target_modules = words(config, "target_modules", what);
  if (lora.target_modules.empty())
    fail("{}: target_modules is {}; it has to be a list of module names or a regular expression", what, targets.dump());
}

void read_layers(LoraConfig& lora, const json& config, std::string_view what) {
  const json layers = config.value("layers_to_transform", json());
  if (!layers.is_null())
    for (const json& layer : layers.is_array() ? layers : json::array({layers})) {
      if (!layer.is_number_integer() || layer < 0)
        fail("{}: layers_to_transform holds {}; it has to be the index of a layer, or a list of them", what,
             layer.dump());
      lora.layers_to_transform.push_back(layer.get<std::int64_t>());
    }
  lora.layers_pattern = words(config, "layers_pattern", what);
  if (lora.layers_to_transform.empty()) {
    // Without layers it means nothing to PEFT, which refuses it.
    if (!lora.layers_pattern.empty())
      fail("{}: layers_pattern without layers_to_transform means nothing; take it out", what);
  } else if (lora.target_modules.empty()) {
    fail("{}: layers_to_transform goes with a list in target_modules only; name the layers in the expression", what);
  }
}

// The values by pattern, in the order of the file, which decides where several match.
template <typename T>
std::vector<std::pair<std::string, T>> pattern(const json& config, const char* key, double least, double most,
                                               std::string_view what) {
  std::vector<std::pair<std::string, T>> rules;
  const json value = config.value(key, json());
  if (value.is_null()) return rules;
  if (!value.is_object()) fail("{}: {} is {}; it has to be an object of patterns and numbers", what, key, value.dump());
  for (const auto& [module, number] : value.items()) {
    const bool fits = std::is_integral_v<T> ? number.is_number_integer() : number.is_number();
    if (!fits || !(number.template get<double>() >= least && number.template get<double>() <= most))
      fail("{}: {} gives {} to \"{}\"; it has to be a {} from {} to {}", what, key, number.dump(), module,
           std::is_integral_v<T> ? "whole number" : "number", least, most);
    rules.emplace_back(module, number.template get<T>());
  }
  return rules;
}

// vLLM and llama.cpp want PEFT's integer where it is one.
json short_number(double value) {
  return value == std::floor(value) && std::fabs(value) < 1e15 ? json(static_cast<std::int64_t>(value)) : json(value);
}

json or_null(const auto& list) { return list.empty() ? json() : json(list); }

json pattern_json(const auto& rules) {
  json object = json::object();
  for (const auto& [module, value] : rules) object[module] = short_number(static_cast<double>(value));
  return object;
}

}  // namespace

Adapter parse_adapter_config(std::string_view text, std::string_view what) {
  const json config = parse_ordered_json(text, what);
  if (!config.is_object()) fail("{}: is not a JSON object; it is no adapter configuration of PEFT", what);
  check_adapter_keys(config, what);
  check_saved_modules(config, what);

  Adapter adapter;
  const double rank = number(config, "r", 8, what);
  if (!(rank >= 1 && rank <= kLargestRank) || rank != std::floor(rank))
    fail("{}: r is {}; it has to be a whole number between 1 and {}", what, rank, kLargestRank);
  adapter.config.rank = static_cast<std::int64_t>(rank);
  adapter.config.alpha = number(config, "lora_alpha", 8, what);
  read_targets(adapter.config, config, what);
  read_layers(adapter.config, config, what);
  adapter.config.rank_pattern = pattern<std::int64_t>(config, "rank_pattern", 1, kLargestRank, what);
  adapter.config.alpha_pattern = pattern<double>(config, "alpha_pattern", 0, 1e9, what);
  adapter.config.rslora = flag(config, "use_rslora", what);
  adapter.config.dropout = number(config, "lora_dropout", 0, what);
  if (!(adapter.config.dropout >= 0 && adapter.config.dropout < 1))
    fail("{}: lora_dropout is {}; it has to be in [0, 1)", what, adapter.config.dropout);
  const json base = config.value("base_model_name_or_path", json());
  if (base.is_string()) adapter.base_model_name = base.get<std::string>();
  return adapter;
}

std::string adapter_config_json(const AdapterHead& adapter) {
  std::vector<std::string> targets = adapter.config.target_modules;
  std::sort(targets.begin(), targets.end());
  json config;  // by name, as PEFT sorts them
  config["alpha_pattern"] = pattern_json(adapter.config.alpha_pattern);
  config["auto_mapping"] = nullptr;
  config["base_model_name_or_path"] = adapter.base_model_name.empty() ? json() : json(adapter.base_model_name);
  config["bias"] = "none";
  if (adapter.tied) config["ensure_weight_tying"] = true;
  config["fan_in_fan_out"] = false;
  config["inference_mode"] = true;
  config["init_lora_weights"] = true;
  config["layer_replication"] = nullptr;
  config["layers_pattern"] = or_null(adapter.config.layers_pattern);
  config["layers_to_transform"] = or_null(adapter.config.layers_to_transform);
  config["loftq_config"] = json::object();
  config["lora_alpha"] = short_number(adapter.config.alpha);
  config["lora_bias"] = false;
  config["lora_dropout"] = adapter.config.dropout;
  config["megatron_config"] = nullptr;
  config["megatron_core"] = "megatron.core";
  config["modules_to_save"] = or_null(adapter.config.modules_to_save);
  config["peft_type"] = "LORA";
  config["r"] = adapter.config.rank;
  config["rank_pattern"] = pattern_json(adapter.config.rank_pattern);
  config["revision"] = nullptr;
  config["target_modules"] =
      adapter.config.target_pattern.empty() ? json(targets) : json(adapter.config.target_pattern);
  config["task_type"] = "CAUSAL_LM";
  config["use_dora"] = false;
  config["use_rslora"] = adapter.config.rslora;
  return config.dump(2);
}

}  // namespace shardlora
