// The rows about which modules an adapter has, and in which ranks.
#include <fmt/ranges.h>

#include <algorithm>

#include "base/regex.h"
#include "train/recipe_adapter.h"
#include "train/recipe_fields.h"

namespace shardlora {
namespace {

using Field = ConfigField<RecipeDraft>;
using Words = std::vector<std::string>;

constexpr std::int64_t kLargestRank = 4096, kMostLayers = 1 << 20;

// A name or the end of one: what a regular expression would need no signs for.
bool is_plain(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
  });
}

void read_targets(RecipeDraft& r, const ConfigValue& v) {
  r.lora_target_modules.clear();
  r.lora_target_pattern.clear();
  r.lora_target_linear = false;
  const Words given = to_words(v);
  for (const std::string& text : given) {
    // LLaMA-Factory's list is one text with commas; anything else that is no name is an expression for PEFT.
    const Words words = comma_separated(text);
    if (v.name == "lora_target" || std::all_of(words.begin(), words.end(), is_plain) || text == "all-linear") {
      r.lora_target_modules.insert(r.lora_target_modules.end(), words.begin(), words.end());
    } else if (v.node.kind == ConfigNode::Kind::kScalar) {
      const Regex readable(text, fmt::format("{}: {}", v.node.place, v.name));
      r.lora_target_pattern = text;
    } else {
      fail(
          "{}: {}: a list holds names of modules, and \"{}\" is none; as a regular expression for whole names write it "
          "alone, without a list",
          v.node.place, v.name, text);
    }
  }
  if (!r.lora_target_pattern.empty()) return;
  if (r.lora_target_modules.empty()) expected(v, "at least one name, such as [q_proj, v_proj]");
  // What stands beside "all" is looked at in settle_adapter.
  r.lora_target_linear =
      std::erase_if(r.lora_target_modules, [](const std::string& w) { return w == "all" || w == "all-linear"; }) > 0;
}

std::string written_targets(const RecipeDraft& r) {
  if (r.lora_target_linear) return "";
  if (!r.lora_target_pattern.empty()) return yaml_text(r.lora_target_pattern);
  std::string list;
  for (const std::string& word : r.lora_target_modules) list += (list.empty() ? "" : ", ") + yaml_text(word);
  return "[" + list + "]";
}

double above_zero(const ConfigValue& v) {
  const double number = to_number(v, 0, 65536);
  if (!(number > 0)) expected(v, "a number above 0");
  return number;
}

// "lora_rank_pattern: {q_proj: 16}": regular expressions for the ends of modules' names, with numbers.
template <typename T>
Field pattern(std::string name, std::vector<std::pair<std::string, T>> Recipe::* member, Words aliases) {
  return {std::move(name), std::move(aliases),
          [member](RecipeDraft& r, const ConfigValue& v) {
            (r.*member).clear();
            if (v.node.kind != ConfigNode::Kind::kMapping) expected(v, "a mapping such as {q_proj: 16}");
            for (const ConfigMember& rule : v.node.members) {
              const Regex readable(rule.key, fmt::format("{}: {}", rule.place, v.name));
              const ConfigValue number{v.name + "." + rule.key, rule.value, v.from_command_line};
              if constexpr (std::is_same_v<T, std::int64_t>)
                (r.*member).emplace_back(rule.key, to_integer(number, 1, kLargestRank));
              else
                (r.*member).emplace_back(rule.key, above_zero(number));
            }
          },
          [member](const RecipeDraft& r) {
            std::string lines;
            for (const auto& [regex, value] : r.*member) lines += fmt::format("\n  {}: {}", yaml_text(regex), value);
            return lines;
          }};
}

void read_layers(RecipeDraft& r, const ConfigValue& v) {
  r.lora_layers_to_transform.clear();
  for (const std::string& index : to_words(v)) {
    ConfigNode node = v.node;
    node.kind = ConfigNode::Kind::kScalar;
    node.text = index;
    r.lora_layers_to_transform.push_back(to_integer({v.name, node, v.from_command_line}, 0, kMostLayers));
  }
}

}  // namespace

std::vector<Field> adapted_module_fields() {
  return {
      {"lora_target_modules", {"lora_target", "target_modules"}, read_targets, written_targets},
      pattern("lora_rank_pattern", &Recipe::lora_rank_pattern, {"rank_pattern"}),
      pattern("lora_alpha_pattern", &Recipe::lora_alpha_pattern, {"alpha_pattern"}),
      {"lora_layers_to_transform",
       {"peft_layers_to_transform", "layers_to_transform"},
       read_layers,
       [](const RecipeDraft& r) {
         const auto& layers = r.lora_layers_to_transform;
         return layers.empty() ? std::string() : fmt::format("[{}]", fmt::join(layers, ", "));
       }},
      {"lora_layers_pattern",
       {"peft_layers_pattern", "layers_pattern"},
       [](RecipeDraft& r, const ConfigValue& v) { r.lora_layers_pattern = to_words(v); },
       [](const RecipeDraft& r) {
         std::string list;
         for (const std::string& word : r.lora_layers_pattern) list += (list.empty() ? "" : ", ") + yaml_text(word);
         return list.empty() ? list : "[" + list + "]";
       }},
  };
}

void settle_adapter(RecipeDraft& draft, const GivenKeys& keys) {
  const ConfigValue *targets = keys.find("lora_target_modules"), *linear = keys.find("lora_target_linear"),
                    *layers = keys.find("lora_layers_to_transform");
  if (draft.lora_target_linear && !draft.lora_target_pattern.empty())
    fail("{}: {}: not together with a regular expression in {} ({}); keep one of them", linear->node.place,
         linear->name, targets->name, targets->node.place);
  // axolotl trains both; all linears of the layers hold all that can be named here.
  if (draft.lora_target_linear)
    for (const std::string& module : draft.lora_target_modules)
      if (const std::string last = "." + module.substr(module.rfind('.') + 1); std::none_of(
              kLayerLinears.begin(), kLayerLinears.end(), [&](std::string_view l) { return l.ends_with(last); }))
        fail(
            "{}: {}: \"{}\" is no linear of the layers, which are all adapted already (lora_target_linear); take it "
            "out, or name it in lora_modules_to_save, which trains embed_tokens and lm_head whole",
            targets->node.place, targets->name, module);
  if (const ConfigValue* pattern = keys.find("lora_layers_pattern");
      pattern != nullptr && draft.lora_layers_to_transform.empty())
    fail("{}: {}: means something with lora_layers_to_transform only; remove it", pattern->node.place, pattern->name);
  if (!draft.lora_layers_to_transform.empty() && !draft.lora_target_linear && !draft.lora_target_pattern.empty())
    fail("{}: {}: not together with a regular expression in {}; name the layers in it", layers->node.place,
         layers->name, targets->name);
  const ConfigValue *rank = keys.find("lora_r"), *kind = keys.find("adapter");
  const bool llama_factory =
      rank != nullptr ? rank->name == "lora_rank" : kind != nullptr && kind->name == "finetuning_type";
  draft.lora_alpha_by_rank = llama_factory && keys.find("lora_alpha") == nullptr && draft.lora_model_dir.empty();
  if (draft.lora_alpha_by_rank) draft.lora_alpha = 2 * static_cast<double>(draft.lora_r);
}

}  // namespace shardlora
