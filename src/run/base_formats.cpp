#include "run/base_formats.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/error.h"
#include "base/name_rules.h"
#include "quant/codec.h"

namespace shardlora {
namespace {

// Each name once.
std::string list_of(const std::vector<Format>& formats) {
  std::vector<std::string> names;
  for (const Format& format : formats)
    if (std::find(names.begin(), names.end(), name_of(format)) == names.end()) names.push_back(name_of(format));
  return fmt::format("{}", fmt::join(names, ", "));
}

// Blocks that are read but never made here have no word of their own in a recipe.
bool is_of_gguf_only(const Format& format) { return row_of(format.codec).encode == nullptr; }

// What a recipe says for a base to rest in its own formats: a codec that it can name where some tensors have one, else
// the word for the blocks of GGUF.
Quantization as_stored(const std::vector<Format>& stored, Quantization asked) {
  asked.by_name = true;
  asked.format = kAsInGguf;
  for (const Format& format : stored) {
    if (is_of_gguf_only(format)) continue;
    asked.format = row_of(format.codec).name;
    asked.group_size = format.block;
    asked.double_quant = format.double_quant;
    break;
  }
  return asked;
}

// Of a format that asks for blocks which the base does not have.
[[noreturn]] void refuse_gguf(const BaseModel& base, const std::vector<Format>& stored, const std::string& key) {
  fail("{}: {}, and {}: {} asks for the blocks of a quantised GGUF file; take one, or leave it out",
       base.path().string(),
       stored.empty() ? "has no quantised blocks" : fmt::format("is quantised to {}", list_of(stored)), key, kAsInGguf);
}

// "lm_head.weight" is of the module "lm_head".
std::string module_of(const std::string& parameter) { return parameter.substr(0, parameter.rfind('.')); }

}  // namespace

Quantization settled(const Quantization& asked, const BaseModel& base) {
  const std::vector<Format> stored = base.quantised_formats();
  for (const auto& [pattern, word] : asked.overrides)
    if (word == kAsInGguf && std::none_of(stored.begin(), stored.end(), is_of_gguf_only))
      refuse_gguf(base, stored, fmt::format("quantization.overrides: {}", pattern));
  if (!stored.empty()) {
    const Quantization own = as_stored(stored, asked);
    if (!asked.by_name || asked == own) return own;
  }
  if (asked.format == kAsInGguf) refuse_gguf(base, stored, "quantization.format");
  if (!stored.empty() && is_quantised(asked.format))
    spdlog::warn(
        "{} is quantised already ({}); quantization.format: {} rounds its weights a second time. Without that key they "
        "rest as the file has them",
        base.path().string(), list_of(stored), asked.format);
  Quantization to = asked;
  to.by_name = true;
  return to;
}

FormatOf format_of(const Quantization& settled, const BaseModel& base, std::optional<DType> dtype) {
  // Of a tensor that is missing or cannot be read nothing is known; BaseModel::check refuses it.
  const auto stored = [&base](const std::string& parameter) {
    return base.stored_format(base.name_of(parameter)).value_or(Format{});
  };
  FormatOf dense = [stored, dtype](const std::string& parameter) {
    const Format format = stored(parameter);
    return dtype ? dense_format(*dtype) : format.dense() ? format : dense_format(DType::kF32);
  };
  FormatOf as_it_is = [stored, dense](const std::string& parameter) {
    const Format format = stored(parameter);
    return format.dense() ? dense(parameter) : format;
  };
  const auto named = [=](const std::string& word) -> FormatOf {
    if (word == kNotQuantised) return dense;
    if (word == kAsInGguf) return as_it_is;
    const CodecRow* codec = find_codec(word);
    CHECK(codec != nullptr, "no codec is called {}", word);
    Format format{.codec = codec->codec};
    if (!codec->dtype) format = {codec->codec, static_cast<int>(settled.group_size), settled.double_quant};
    return [format](const std::string&) { return format; };
  };

  const std::vector<Format> own = base.quantised_formats();
  const bool keeps_all = !own.empty() && settled == as_stored(own, settled);
  const FormatOf linears = keeps_all ? as_it_is : named(settled.format);
  // Tables are not quantised here: few values are read of an embedding, and the head's errors go straight into the
  // loss.
  const bool one_for_all = keeps_all || !is_quantised(settled.format);
  const FormatOf tables = one_for_all ? linears : dtype ? dense : FormatOf(stored);
  std::vector<std::pair<std::string, FormatOf>> own_formats;
  for (const auto& [pattern, word] : settled.overrides) own_formats.emplace_back(pattern, named(word));
  const NameRules<FormatOf> overrides(own_formats, "quantization.overrides");
  return [=](const std::string& parameter) {
    const FormatOf* override = overrides.find(module_of(parameter));
    return (override != nullptr ? *override : is_linear(parameter) ? linears : tables)(parameter);
  };
}

void check_overrides(const Quantization& settled, const ModelSpec& model) {
  for (const auto& [pattern, word] : settled.overrides) {
    const NameRules<bool> rule({{pattern, true}}, "quantization.overrides");
    bool used = false;
    for (const UnitSpec& unit : model.units())
      for (const ParamSpec& param : unit.params)
        used = used || (param.shape.rank() > 1 && rule.find(module_of(param.name)) != nullptr);
    if (!used)
      fail("quantization.overrides: \"{}\" is the end of no module's name; modules are {}, model.embed_tokens, lm_head",
           pattern, module_of(model.units()[ModelSpec::layer_unit(0)].params[0].name));
  }
}

std::string formats_text(const ModelSpec& model) {
  std::vector<Format> linears, tables;
  for (const UnitSpec& unit : model.units())
    for (const ParamSpec& param : unit.params)
      if (!param.trainable && param.shape.rank() > 1)
        (is_linear(param.name) ? linears : tables).push_back(param.format);
  std::string text = fmt::format("{} layers in {}", model.config().layers, list_of(linears));
  if (!tables.empty()) text += fmt::format(", embedding and head in {}", list_of(tables));
  return text;
}

}  // namespace shardlora
