// The keys of a recipe about the base model and how it rests.
#include <fmt/ranges.h>

#include "base/regex.h"
#include "quant/codec.h"
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;

Choices<std::string> formats() {
  Choices<std::string> words;
  for (const std::string& word : base_formats()) words.push_back({word, word});
  return words;
}

void read_group_size(RecipeDraft& r, const ConfigValue& v) {
  r.quantization.group_size = to_integer(v, 32, 4096);
  if ((r.quantization.group_size & (r.quantization.group_size - 1)) != 0) expected(v, "a power of two from 32 to 4096");
}

constexpr const char* kOverrides = "quantization.overrides";

FormatRules rules_of(const ConfigValue& v) {
  FormatRules rules;
  if (v.node.kind != ConfigNode::Kind::kMapping) expected(v, "a mapping such as {down_proj: bf16}");
  for (const ConfigMember& rule : v.node.members) {
    const Regex readable(rule.key, fmt::format("{}: {}", rule.place, v.name));
    const ConfigValue word{v.name + "." + rule.key, rule.value, v.from_command_line};
    rules.emplace_back(rule.key, to_choice(word, formats()));
  }
  return rules;
}

std::string written_overrides(const RecipeDraft& r) {
  std::vector<std::string> rules;
  for (const auto& [regex, word] : r.quantization.overrides)
    rules.push_back(fmt::format("{}: {}", yaml_text(regex), word));
  return rules.empty() ? "" : fmt::format("{{{}}}", fmt::join(rules, ", "));
}

}  // namespace

std::vector<std::string> base_formats() {
  std::vector<std::string> words{kNotQuantised, kAsInGguf};
  for (const CodecRow* row : codecs())
    if (row->encode != nullptr) words.emplace_back(row->name);
  return words;
}

bool is_quantised(const std::string& format) {
  const CodecRow* codec = find_codec(format);
  return format == kAsInGguf || (codec != nullptr && !codec->dtype);
}

FormatRules format_rules(const std::string& setting) {
  const ConfigMember member = parse_override(setting);
  if (member.key != kOverrides)
    fail("{}: {}: only {} is taken here, such as {}='{{down_proj: bf16}}'; the rest has options (--help)", member.place,
         member.key, kOverrides, kOverrides);
  return rules_of({member.key, member.value, true});
}

std::vector<RecipeField> base_fields() {
  return {
      K::text({"base_model", "model_name_or_path", "model"}, &Recipe::base_model,
              "the model: a Hugging Face folder, a GGUF file, or org/name in the local cache (needed)"),
      K::choice<AdapterKind>(
          {"adapter", "finetuning_type"}, &Recipe::adapter,
          {{"lora", AdapterKind::kLora}, {"qlora", AdapterKind::kQLora}},
          "qlora: the base rests quantised; lora: as it is, unless a key below quantises it (needed)"),
      K::flag({"load_in_4bit"}, &RecipeDraft::load_in_4bit,
              "true: nf4, unless the base is quantised already; false: no quantising here"),
      K::row(
          {"quantization_bit"}, "4", "the same as load_in_4bit: true",
          [](RecipeDraft& r, const ConfigValue& v) {
            if (to_text(v) != "4") expected(v, "4 (NF4), the only width of this version");
            r.load_in_4bit = true;
          },
          nullptr),
      K::only({"quantization_method"}, {"bnb", "bitsandbytes"}, "bnb", "NF4 is quantised as bitsandbytes does it",
              [](const RecipeDraft& r) { return std::string(r.quantization.format == kFourBit ? "bnb" : ""); }),
      K::row(
          {"quantization.format", "bnb_4bit_quant_type", "bnb_config_kwargs.bnb_4bit_quant_type", "quantization_type"},
          choice_names(formats()),
          "what the base rests as; not given: as a quantised base has it, else nf4 with adapter: qlora, else none",
          [](RecipeDraft& r, const ConfigValue& v) { r.format = to_choice(v, formats()); },
          [](const RecipeDraft& r) { return written(r.quantization.format); }),
      K::row({"quantization.group_size"}, "a power of two from 32 to 4096", "values of nf4 that share a scale",
             read_group_size, [](const RecipeDraft& r) { return written(r.quantization.group_size); }),
      K::flag(
          {"quantization.double_quant", "double_quantization", "bnb_4bit_use_double_quant",
           "bnb_config_kwargs.bnb_4bit_use_double_quant"},
          [](auto& r) -> auto& { return r.quantization.double_quant; },
          "the scales of nf4 are quantised too: about 0.4 bit a value less"),
      K::row(
          {kOverrides}, "a mapping such as {down_proj: bf16}",
          "formats of modules' own, by regular expressions for the ends of their names",
          [](RecipeDraft& r, const ConfigValue& v) { r.quantization.overrides = rules_of(v); }, written_overrides),
      K::folder_or_none({"base_prepared_path"}, &Recipe::base_prepared_path,
                        "where what is quantised here is kept for later runs; not given: large models, in the user's "
                        "cache"),
  };
}

// The base's format is settled from adapter, load_in_4bit and quantization.format together.
void settle_format(RecipeDraft& draft, const GivenKeys& keys, const std::string& path) {
  const bool qlora = draft.adapter == AdapterKind::kQLora;
  const ConfigValue* four_bit = keys.find("load_in_4bit") ? keys.find("load_in_4bit") : keys.find("quantization_bit");
  if (draft.load_in_4bit && draft.format && *draft.load_in_4bit != is_quantised(*draft.format)) {
    const ConfigValue& format = *keys.find("quantization.format");
    fail("{}: {}: says the opposite of {} ({}); keep one of them", format.node.place, format.name, four_bit->name,
         four_bit->node.place);
  }
  draft.quantization.by_name = draft.format.has_value();
  draft.quantization.format = draft.format                         ? *draft.format
                              : draft.load_in_4bit.value_or(qlora) ? kFourBit
                                                                   : kNotQuantised;
  if (qlora && !is_quantised(draft.quantization.format)) {
    const ConfigValue* value = draft.format ? keys.find("quantization.format") : four_bit;
    fail("{}: {}: adapter: qlora needs a quantised base; write adapter: lora, or format nf4",
         value ? value->node.place : path, value ? value->name : "quantization.format");
  }
}

}  // namespace shardlora
