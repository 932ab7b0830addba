#include "checkpoint/adapter_keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/ascii.h"
#include "base/error.h"

namespace shardlora {
namespace {

using json = nlohmann::ordered_json;
using enum KeyEffect;

constexpr AdapterKey kKeys[] = {
    {"alora_invocation_tokens", kRefused, "an adapter that is active after some tokens only"},
    {"alpha_pattern", kRead},
    {"arrow_config", kRefused, "routing between adapters (Arrow)"},
    {"auto_mapping", kHarmless},
    {"base_model_name_or_path", kRead},
    {"bias", kRefused, "an adapter with trained biases", "none"},
    {"corda_config", kHarmless},         // of init_lora_weights
    {"ensure_weight_tying", kHarmless},  // the tensors show whether embedding and head are one
    {"eva_config", kHarmless},           // of init_lora_weights
    {"exclude_modules", kRefused, "a list of modules to leave out"},
    {"fan_in_fan_out", kRefused, "transposed weights"},
    {"inference_mode", kHarmless},
    {"init_lora_weights", kRead},
    {"kasa_config", kRefused, "KaSA, which cuts singular values off the base"},
    {"layer_replication", kRefused, "repeated layers"},
    {"layers_pattern", kRead},
    {"layers_to_transform", kRead},
    {"loftq_config", kHarmless},  // of init_lora_weights
    {"lora_alpha", kRead},
    {"lora_bias", kRefused, "biases in the adapter"},
    {"lora_dropout", kRead},
    {"lora_ga_config", kHarmless},   // of init_lora_weights
    {"megatron_config", kHarmless},  // how Megatron cuts layers over cards
    {"megatron_core", kHarmless},
    {"modules_to_save", kRead},
    {"monteclora_config", kRefused, "sampled adapters (MonteCLoRA)"},
    {"peft_type", kRefused, "another method than LoRA", "LORA"},
    {"peft_version", kHarmless},
    {"qalora_group_size", kHarmless},  // of use_qalora
    {"r", kRead},
    {"rank_pattern", kRead},
    {"revision", kHarmless},
    {"target_modules", kRead},
    {"target_parameters", kRefused, "adapters on bare parameters"},
    {"task_type", kHarmless},
    {"trainable_token_indices", kRefused, "trained tokens"},
    {"use_bdlora", kRefused, "block-diagonal LoRA"},
    {"use_dora", kRefused, "DoRA"},
    {"use_qalora", kRefused, "QA-LoRA"},
    {"use_rslora", kRead},
    {"velora_config", kRefused, "VeLoRA"},
};

// A switch that is off, a setting that is not there, a list of nothing: the ways to say "plain LoRA".
bool is_off(const json& value) {
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

// PEFT changes the base when it loads an adapter that was started in these ways; LoRA-GA had it changed in training.
bool starts_with_a_changed_base(const std::string& word) {
  const std::string start = lower_case(word);
  return start.starts_with("pissa") || start.starts_with("corda") || start == "olora" || start == "loftq" ||
         start == "lora_ga";
}

void check_start(const json& config, std::string_view what) {
  const json start = config.value("init_lora_weights", json(true));
  // How A and B began says nothing about what they are now.
  constexpr std::string_view kPlain[] = {"gaussian", "eva", "orthogonal", "mica"};
  if (start.is_null() || start.is_boolean()) return;
  const std::string word = start.is_string() ? start.get<std::string>() : start.dump();
  if (std::find(std::begin(kPlain), std::end(kPlain), word) != std::end(kPlain)) return;
  if (starts_with_a_changed_base(word))
    fail(
        "{}: init_lora_weights is \"{}\": such an adapter belongs to a base that PEFT changes when it loads it, and on "
        "the base as it is it means something else. Save it in PEFT as plain LoRA (save_pretrained(..., "
        "path_initial_model_for_weight_conversion=<the adapter before training>), for pissa, corda, olora and "
        "lora_ga), or save PEFT's changed base as a model of its own and set init_lora_weights to true",
        what, word);
  fail(
      "{}: init_lora_weights is {}, which this version does not know; it could change the base. If PEFT leaves the "
      "base "
      "as it is when it loads this adapter, set it to true",
      what, start.dump());
}

}  // namespace

std::span<const AdapterKey> adapter_keys() { return kKeys; }

void check_adapter_keys(const json& config, std::string_view what) {
  for (const auto& [name, value] : config.items()) {
    const auto row = std::find_if(std::begin(kKeys), std::end(kKeys),
                                  [&, &key = name](const AdapterKey& candidate) { return candidate.name == key; });
    if (is_off(value)) continue;
    if (row == std::end(kKeys))
      fail(
          "{}: {} is {}: this key is not known here and could change what the adapter computes; take it out if it does "
          "not",
          what, name, value.dump());
    if (row->effect != kRefused || (!row->plain.empty() && value == row->plain)) continue;
    fail("{}: {} is {}: {} is not supported; only plain LoRA adapters can be read", what, name, value.dump(),
         row->what);
  }
  check_start(config, what);
}

}  // namespace shardlora
