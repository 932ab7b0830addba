// Which modules a LoraConfig adapts, and each one's rank and scale: PEFT's rules.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/name_rules.h"
#include "base/regex.h"
#include "lora/lora.h"

namespace shardlora {

// The linears of a decoder layer, in Hugging Face's names: what `lora_target_linear: true` adapts.
inline constexpr std::array<std::string_view, 7> kLayerLinears = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

// "q_proj" and so on: their last parts.
std::vector<std::string> names_of_linears();

class LoraModules {
 public:
  // An Error where a pattern of the configuration is no regular expression.
  explicit LoraModules(const LoraConfig& config);

  // By the module's whole name, "model.layers.0.self_attn.q_proj".
  bool targets(const std::string& module) const;
  std::int64_t rank(const std::string& module) const;
  double alpha(const std::string& module) const;
  double scale(const std::string& module) const;

 private:
  bool listed(const std::string& module) const;
  bool in_a_chosen_layer(const std::string& module) const;

  LoraConfig config_;
  std::optional<Regex> target_;
  std::vector<Regex> layer_;  // the first that matches a name gives the layer's index as its group "idx"
  NameRules<std::int64_t> ranks_;
  NameRules<double> alphas_;
};

}  // namespace shardlora
