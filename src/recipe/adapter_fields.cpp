// The keys of a recipe about the adapter: which modules it has, in which ranks, and what it starts from.
#include <fmt/ranges.h>

#include <algorithm>

#include "base/regex.h"
#include "recipe/recipe_adapter.h"
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;
using Words = std::vector<std::string>;

constexpr std::int64_t kLargestRank = 4096, kMostLayers = 1 << 20;
constexpr double kLargestAlpha = 65536;

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
  return r.lora_target_pattern.empty() ? yaml_list(r.lora_target_modules) : yaml_text(r.lora_target_pattern);
}

// "lora_rank_pattern: {q_proj: 16}": regular expressions for the ends of modules' names, with numbers.
template <typename T>
RecipeField pattern(const Words& names, std::vector<std::pair<std::string, T>> Recipe::* member, std::string help) {
  return K::row(
      names, "a mapping such as {q_proj: 16}", std::move(help),
      [member](RecipeDraft& r, const ConfigValue& v) {
        (r.*member).clear();
        if (v.node.kind != ConfigNode::Kind::kMapping) expected(v, "a mapping such as {q_proj: 16}");
        for (const ConfigMember& rule : v.node.members) {
          const Regex readable(rule.key, fmt::format("{}: {}", rule.place, v.name));
          const ConfigValue number{v.name + "." + rule.key, rule.value, v.from_command_line};
          if constexpr (std::is_same_v<T, std::int64_t>)
            (r.*member).emplace_back(rule.key, to_integer(number, 1, kLargestRank));
          else
            (r.*member).emplace_back(rule.key, to_number_above_zero(number, kLargestAlpha));
        }
      },
      [member](const RecipeDraft& r) {
        std::string lines;
        for (const auto& [regex, value] : r.*member) lines += fmt::format("\n  {}: {}", yaml_text(regex), value);
        return lines;
      });
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

void read_saved(RecipeDraft& r, const ConfigValue& v) {
  r.lora_modules_to_save.clear();
  for (std::string& word : to_split_words(v)) {
    word.erase(0, word.rfind('.') + 1);  // "model.embed_tokens"
    if (word != "embed_tokens" && word != "lm_head") expected(v, "embed_tokens and lm_head, or one of them");
    r.lora_modules_to_save.push_back(std::move(word));
  }
}

}  // namespace

std::vector<RecipeField> adapter_fields() {
  return {
      K::row({"lora_target_modules", "lora_target", "target_modules"}, "names, or a regular expression",
             "the linears that are adapted, such as [q_proj, v_proj], or all; an expression is for whole names",
             read_targets, written_targets),
      pattern({"lora_rank_pattern", "rank_pattern"}, &Recipe::lora_rank_pattern,
              "ranks of modules' own, by regular expressions for the ends of their names"),
      pattern({"lora_alpha_pattern", "alpha_pattern"}, &Recipe::lora_alpha_pattern,
              "alphas of modules' own, by regular expressions for the ends of their names"),
      K::row({"lora_layers_to_transform", "peft_layers_to_transform", "layers_to_transform"},
             "a list of numbers from 0", "only these layers are adapted", read_layers,
             [](const RecipeDraft& r) {
               const auto& layers = r.lora_layers_to_transform;
               return layers.empty() ? std::string() : fmt::format("[{}]", fmt::join(layers, ", "));
             }),
      K::words({"lora_layers_pattern", "peft_layers_pattern", "layers_pattern"}, &Recipe::lora_layers_pattern,
               "what stands before a layer's number in names; only with lora_layers_to_transform"),
      K::whole({"lora_r", "lora_rank", "r"}, &Recipe::lora_r, 1, kLargestRank, "rank of the two small matrices"),
      K::above_zero({"lora_alpha"}, &Recipe::lora_alpha, kLargestAlpha,
                    "the adapter counts alpha / r times; in LLaMA-Factory's recipes without it alpha is 2 r"),
      K::number({"lora_dropout"}, &Recipe::lora_dropout, 0, 0.999,
                "share of a linear's input that its adapter does not see; not given: lora_model_dir's, else 0"),
      K::row({"lora_modules_to_save", "modules_to_save", "additional_target"}, "embed_tokens, lm_head",
             "what trains as a whole beside the adapter", read_saved,
             [](const RecipeDraft& r) { return written(r.lora_modules_to_save); }),
      K::flag({"peft_use_rslora", "use_rslora"}, &Recipe::peft_use_rslora,
              "the adapter counts alpha / sqrt(r) times, not alpha / r"),
      // After lora_target_modules: the stronger word.
      K::flag({"lora_target_linear"}, &Recipe::lora_target_linear,
              "adapt all linears of the layers; not given: true, unless lora_target_modules is"),
      K::text({"lora_model_dir", "adapter_name_or_path"}, &Recipe::lora_model_dir,
              "a PEFT adapter to start from; rank, alpha and modules are then its own"),
  };
}

void settle_adapter(RecipeDraft& draft, const GivenKeys& keys) {
  const ConfigValue *targets = keys.find("lora_target_modules"), *linear = keys.find("lora_target_linear"),
                    *layers = keys.find("lora_layers_to_transform");
  if (draft.lora_target_linear && !draft.lora_target_pattern.empty())
    fail("{}: {}: not together with a regular expression in {} ({}); keep one of them", linear->node.place,
         linear->name, targets->name, targets->node.place);
  // axolotl trains both; all linears of the layers hold all that can be named here.
  const Words linears = names_of_linears();
  for (const std::string& module : draft.lora_target_linear ? draft.lora_target_modules : Words{})
    if (std::find(linears.begin(), linears.end(), module.substr(module.rfind('.') + 1)) == linears.end())
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
