#include "checkpoint/adapter_config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/json.h"

namespace shardlora {
namespace {

using nlohmann::json;

constexpr std::int64_t kLargestRank = 65536;

// A switch that is off, a setting that is not there, a pattern that matches nothing: the ways to say "plain LoRA".
bool is_off(const json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) || (value.is_structured() && value.empty());
}

struct Refusal {
  const char* key;
  const char* what;
};

constexpr Refusal kRefusals[] = {
    {"use_dora", "DoRA"},
    {"rank_pattern", "a rank of its own for some modules"},
    {"alpha_pattern", "an alpha of its own for some modules"},
    {"layers_to_transform", "an adapter on some layers only"},
    {"layer_replication", "repeated layers"},
    {"exclude_modules", "a list of modules to leave out"},
    {"lora_bias", "biases in the adapter"},
    {"fan_in_fan_out", "transposed weights"},
    {"target_parameters", "adapters on bare parameters"},
    {"trainable_token_indices", "trained tokens"},
    {"alora_invocation_tokens", "an adapter that is active after some tokens only"},
    {"use_qalora", "QA-LoRA"},
    {"use_bdlora", "block-diagonal LoRA"},
};

void refuse_all_but_plain_lora(const json& config, std::string_view what) {
  if (const auto type = config.value("peft_type", json("LORA")); type != "LORA")
    fail("{}: peft_type is {}; only LORA is supported", what, type.dump());
  if (const auto bias = config.value("bias", json("none")); bias != "none")
    fail("{}: bias is {}; only adapters with bias \"none\" are supported", what, bias.dump());
  for (const Refusal& refusal : kRefusals) {
    const auto found = config.find(refusal.key);
    if (found != config.end() && !is_off(*found))
      fail("{}: {} is {}: {} is not supported; only plain LoRA adapters can be read", what, refusal.key, found->dump(),
           refusal.what);
  }
}

// PEFT names modules by their last part or in full.
void check_saved_modules(const json& config, std::string_view what) {
  const json list = config.value("modules_to_save", json());
  for (const json& module : list.is_array() ? list : json::array()) {
    const std::string name = module.is_string() ? module.get<std::string>() : module.dump();
    const std::string last = name.substr(name.rfind('.') + 1);
    if (last != "embed_tokens" && last != "lm_head")
      fail("{}: modules_to_save has {}; only embed_tokens and lm_head can be read", what, name);
  }
}

double number(const json& config, const char* key, double fallback, std::string_view what) {
  const auto found = config.find(key);
  if (found == config.end()) return fallback;
  if (!found->is_number()) fail("{}: {} is {}; it has to be a number", what, key, found->dump());
  return found->get<double>();
}

std::vector<std::string> target_list(const json& config, std::string_view what) {
  const json targets = config.value("target_modules", json());
  if (targets.is_string()) return {};
  std::vector<std::string> list;
  if (targets.is_array()) {
    for (const json& target : targets) {
      if (!target.is_string() || target.get<std::string>().empty())
        fail("{}: target_modules holds {}; it has to be a list of module names", what, target.dump());
      list.push_back(target.get<std::string>());
    }
  }
  if (list.empty())
    fail("{}: target_modules is {}; it has to be a list of module names or a pattern", what, targets.dump());
  return list;
}

}  // namespace

Adapter parse_adapter_config(std::string_view text, std::string_view what) {
  const json config = parse_json(text, what);
  if (!config.is_object()) fail("{}: is not a JSON object; it is no adapter configuration of PEFT", what);
  refuse_all_but_plain_lora(config, what);
  check_saved_modules(config, what);

  Adapter adapter;
  const double rank = number(config, "r", 8, what);
  if (!(rank >= 1 && rank <= kLargestRank) || rank != std::floor(rank))
    fail("{}: r is {}; it has to be a whole number between 1 and {}", what, rank, kLargestRank);
  adapter.config.rank = static_cast<std::int64_t>(rank);
  adapter.config.alpha = number(config, "lora_alpha", 8, what);
  adapter.config.target_modules = target_list(config, what);
  adapter.config.rslora = config.contains("use_rslora") && !is_off(config["use_rslora"]);
  adapter.config.dropout = number(config, "lora_dropout", 0, what);
  if (!(adapter.config.dropout >= 0 && adapter.config.dropout < 1))
    fail("{}: lora_dropout is {}; it has to be in [0, 1)", what, adapter.config.dropout);
  const json base = config.value("base_model_name_or_path", json());
  if (base.is_string()) adapter.base_model_name = base.get<std::string>();
  return adapter;
}

std::string adapter_config_json(const Adapter& adapter) {
  std::vector<std::string> targets = adapter.config.target_modules;
  std::sort(targets.begin(), targets.end());
  const double alpha = adapter.config.alpha;
  json config;  // its objects keep their keys sorted
  config["alpha_pattern"] = json::object();
  config["auto_mapping"] = nullptr;
  config["base_model_name_or_path"] = adapter.base_model_name.empty() ? json() : json(adapter.base_model_name);
  config["bias"] = "none";
  config["fan_in_fan_out"] = false;
  config["inference_mode"] = true;
  config["init_lora_weights"] = true;
  config["layer_replication"] = nullptr;
  config["layers_pattern"] = nullptr;
  config["layers_to_transform"] = nullptr;
  config["loftq_config"] = json::object();
  // vLLM and llama.cpp want PEFT's integer where it is one.
  config["lora_alpha"] =
      alpha == std::floor(alpha) && std::fabs(alpha) < 1e15 ? json(static_cast<std::int64_t>(alpha)) : json(alpha);
  config["lora_bias"] = false;
  config["lora_dropout"] = adapter.config.dropout;
  config["megatron_config"] = nullptr;
  config["megatron_core"] = "megatron.core";
  config["modules_to_save"] = adapter.config.modules_to_save.empty() ? json() : json(adapter.config.modules_to_save);
  if (adapter.tied) config["ensure_weight_tying"] = true;
  config["peft_type"] = "LORA";
  config["r"] = adapter.config.rank;
  config["rank_pattern"] = json::object();
  config["revision"] = nullptr;
  config["target_modules"] = targets;
  config["task_type"] = "CAUSAL_LM";
  config["use_dora"] = false;
  config["use_rslora"] = adapter.config.rslora;
  return config.dump(2);
}

}  // namespace shardlora
