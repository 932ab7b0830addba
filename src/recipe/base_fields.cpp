// The keys of a recipe about the base model and how it rests.
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;

const Choices<BaseFormat> kFormats{{"none", BaseFormat::kNone}, {"nf4", BaseFormat::kNF4}};

void read_group_size(RecipeDraft& r, const ConfigValue& v) {
  r.quantization.group_size = to_integer(v, 32, 4096);
  if ((r.quantization.group_size & (r.quantization.group_size - 1)) != 0) expected(v, "a power of two from 32 to 4096");
}

}  // namespace

std::vector<RecipeField> base_fields() {
  return {
      K::text({"base_model", "model_name_or_path", "model"}, &Recipe::base_model,
              "the model: a Hugging Face folder, a GGUF file, or org/name in the local cache (needed)"),
      K::choice<AdapterKind>(
          {"adapter", "finetuning_type"}, &Recipe::adapter,
          {{"lora", AdapterKind::kLora}, {"qlora", AdapterKind::kQLora}},
          "qlora: the base rests in 4 bit; lora: in 16 or 32, unless quantization.format is nf4 (needed)"),
      K::flag({"load_in_4bit"}, &RecipeDraft::load_in_4bit,
              "true is the same as quantization.format: nf4; false as none"),
      K::row(
          {"quantization_bit"}, "4", "the same as quantization.format: nf4",
          [](RecipeDraft& r, const ConfigValue& v) {
            if (to_text(v) != "4") expected(v, "4 (NF4), the only width of this version");
            r.load_in_4bit = true;
          },
          nullptr),
      K::only({"quantization_method"}, {"bnb", "bitsandbytes"}, "bnb", "NF4 is quantised as bitsandbytes does it",
              [](const RecipeDraft&) { return std::string("bnb"); }),
      K::row(
          {"quantization.format", "bnb_4bit_quant_type", "bnb_config_kwargs.bnb_4bit_quant_type", "quantization_type"},
          choice_names(kFormats), "what the linears of the base rest as; not given: nf4 with adapter: qlora, else none",
          [](RecipeDraft& r, const ConfigValue& v) { r.format = to_choice(v, kFormats); },
          [](const RecipeDraft& r) { return choice_name(r.quantization.format, kFormats); }),
      K::row({"quantization.group_size"}, "a power of two from 32 to 4096", "values of nf4 that share a scale",
             read_group_size, [](const RecipeDraft& r) { return written(r.quantization.group_size); }),
      K::flag(
          {"quantization.double_quant", "double_quantization", "bnb_4bit_use_double_quant",
           "bnb_config_kwargs.bnb_4bit_use_double_quant"},
          [](auto& r) -> auto& { return r.quantization.double_quant; },
          "the scales of nf4 are quantised too: about 0.4 bit a value less"),
  };
}

// The base's format is settled from adapter, load_in_4bit and quantization.format together.
void settle_format(RecipeDraft& draft, const GivenKeys& keys, const std::string& path) {
  const bool qlora = draft.adapter == AdapterKind::kQLora;
  const ConfigValue* four_bit = keys.find("load_in_4bit") ? keys.find("load_in_4bit") : keys.find("quantization_bit");
  if (draft.load_in_4bit && draft.format && *draft.load_in_4bit != (*draft.format == BaseFormat::kNF4)) {
    const ConfigValue& format = *keys.find("quantization.format");
    fail("{}: {}: says the opposite of {} ({}); keep one of them", format.node.place, format.name, four_bit->name,
         four_bit->node.place);
  }
  draft.quantization.format = draft.format         ? *draft.format
                              : draft.load_in_4bit ? (*draft.load_in_4bit ? BaseFormat::kNF4 : BaseFormat::kNone)
                              : qlora              ? BaseFormat::kNF4
                                                   : BaseFormat::kNone;
  if (qlora && draft.quantization.format == BaseFormat::kNone) {
    const ConfigValue* value = draft.format ? keys.find("quantization.format") : four_bit;
    fail("{}: {}: adapter: qlora needs a quantised base; write adapter: lora, or format nf4",
         value ? value->node.place : path, value ? value->name : "quantization.format");
  }
}

}  // namespace shardlora
