#include "run/base_formats.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/error.h"
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

}  // namespace

Quantization settled(const Quantization& asked, const BaseModel& base) {
  const std::vector<Format> stored = base.quantised_formats();
  if (asked.format == kAsInGguf && stored.empty())
    fail(
        "{}: has no quantised blocks, which quantization.format: {} asks for; take a quantised GGUF file, or leave the "
        "key out",
        base.path().string(), kAsInGguf);
  Quantization to = asked;
  if (!stored.empty() && !asked.by_name) to.format = kAsInGguf;
  to.by_name = true;
  if (!stored.empty() && is_quantised(to.format) && to.format != kAsInGguf)
    spdlog::warn(
        "{} is quantised already ({}); quantization.format: {} rounds its weights a second time. Without that key they "
        "rest as the file has them",
        base.path().string(), list_of(stored), to.format);
  return to;
}

FormatOf format_of(const Quantization& settled, const BaseModel& base, std::optional<DType> dtype) {
  // Of a tensor that is missing or cannot be read nothing is known; BaseModel::check refuses it.
  const auto stored = [&base](const std::string& parameter) {
    return base.stored_format(base.name_of(parameter)).value_or(Format{});
  };
  const FormatOf dense = [stored, dtype](const std::string& parameter) {
    const Format format = stored(parameter);
    return dtype ? dense_format(*dtype) : format.dense() ? format : dense_format(DType::kF32);
  };
  if (settled.format == kNotQuantised) return dense;
  if (settled.format == kAsInGguf)
    return [stored, dense](const std::string& parameter) {
      const Format format = stored(parameter);
      return format.dense() ? dense(parameter) : format;
    };
  const CodecRow* codec = find_codec(settled.format);
  CHECK(codec != nullptr, "no codec is called {}", settled.format);
  if (codec->dtype) return rest_as(dense_format(*codec->dtype), dense_format(*codec->dtype));
  const Format linears{codec->codec, static_cast<int>(settled.group_size), settled.double_quant};
  return [=](const std::string& parameter) {
    return is_linear(parameter) ? linears : dtype ? dense(parameter) : stored(parameter);
  };
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
