#include "checkpoint/base_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "checkpoint/hub_cache.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

void put_heads_in_order(const StoredName& name, const ParamSpec& param, std::span<std::byte> rows,
                        std::size_t row_bytes) {
  if (name.permuted_heads == 0) return;
  CHECK(param.shape[0] % (2 * name.permuted_heads) == 0, "{} has no {} heads of rotary pairs", param.name,
        name.permuted_heads);
  unpermute_heads(rows, param.shape[0] / name.permuted_heads, row_bytes);
}

}  // namespace

void TensorSource::read_bytes(const std::string& name, std::span<std::byte>, std::size_t) const {
  CHECK(false, "{} is asked for as it lies in a prepared base, which {} is not", name, path().string());
}

BaseModel BaseModel::open(const std::string& name) {
  const std::filesystem::path path = find_model(name);
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    return BaseModel(holds_prepared_base(path) ? open_prepared(path) : open_folder(path));
  if (path.extension() == ".safetensors")
    fail("{}: is one file of a model; give the folder that it lies in, with its config.json", path.string());
  return BaseModel(open_gguf(path));
}

void BaseModel::find(const StoredName& name, const ParamSpec& param) const {
  const std::optional<Shape> shape = source_->shape_of(name.name);
  if (!shape) {
    const std::string stored_as = name.name == param.name ? "" : fmt::format(" (parameter {})", param.name);
    fail("{}: has no tensor {} {}{}; the model is incomplete or not a {} model as it says", path().string(), name.name,
         param.stored_shape().text(), stored_as, config().architecture);
  }
  if (*shape != param.stored_shape())
    fail(
        "{}: tensor {} is {}, but by the model's configuration {} is {}; the files are garbled or of an unknown "
        "variant",
        source_->file_of(name.name).string(), name.name, shape->text(), param.name, param.stored_shape().text());
}

void BaseModel::check(const ModelSpec& model) const {
  source_->check_readable();
  std::set<std::string> used;
  for (const UnitSpec& unit : model.units()) {
    for (const ParamSpec& param : unit.params) {
      if (param.trainable && !trains_as_a_whole(param)) continue;
      const StoredName name = name_of(param.name);
      find(name, param);
      used.insert(name.name);
    }
  }
  for (const std::string& name : source_->parameters()) {
    if (!used.contains(name))
      fail(
          "{}: tensor {} {} has no place in a {} model of this version; without it the model would be another one. "
          "Choose a model without it",
          source_->file_of(name).string(), name, source_->shape_of(name)->text(), config().architecture);
  }
}

std::optional<Format> BaseModel::stored_format(const StoredName& name) const {
  return source_->shape_of(name.name) ? source_->format_of(name.name) : std::nullopt;
}

std::vector<Format> BaseModel::quantised_formats() const {
  std::vector<Format> formats;
  for (const std::string& name : source_->parameters()) {
    const std::optional<Format> format = source_->format_of(name);
    if (format && !format->dense() && std::find(formats.begin(), formats.end(), *format) == formats.end())
      formats.push_back(*format);
  }
  return formats;
}

std::int64_t BaseModel::row_grain(const StoredName& name, const ParamSpec& param) const {
  find(name, param);
  const std::int64_t length = row_length(param.shape), block = grain_of(source_->format_of(name.name).value());
  std::int64_t rows = block / std::gcd(block, std::max<std::int64_t>(length, 1));
  if (name.permuted_heads > 0) rows = std::lcm(rows, param.shape[0] / name.permuted_heads);
  return rows;
}

void BaseModel::read(const StoredName& name, const ParamSpec& param, std::span<float> out) const {
  CHECK(std::ssize(out) == param.shape.numel(), "{} {} read into {} values", param.name, param.shape.text(),
        out.size());
  read_rows(name, param, 0, out);
}

void BaseModel::check_finite(const StoredName& name, std::span<const float> values) const {
  if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }))
    fail("{}: tensor {} holds a value that is infinite or not a number; the file is damaged, fetch or convert it again",
         source_->file_of(name.name).string(), name.name);
}

void BaseModel::read_values(const StoredName& name, std::span<float> out, std::int64_t first) const {
  source_->read_f32(name.name, out, first);
  check_finite(name, out);
}

void BaseModel::read_rows(const StoredName& name, const ParamSpec& param, std::int64_t first,
                          std::span<float> out) const {
  find(name, param);
  const std::int64_t length = row_length(param.shape);
  source_->read_f32(name.name, out, (param.first_row + first) * length);
  check_finite(name, out);
  put_heads_in_order(name, param, std::as_writable_bytes(out), static_cast<std::size_t>(length) * sizeof(float));
}

void BaseModel::read_packed_rows(const StoredName& name, const ParamSpec& param, std::int64_t first,
                                 std::span<std::byte> out) const {
  find(name, param);
  const Format format = source_->format_of(name.name).value();
  const auto bytes_of = [&](std::int64_t values) { return section_bytes(format, {values})[0]; };
  const std::int64_t length = row_length(param.shape);
  source_->read_section(name.name, 0, out, bytes_of((param.first_row + first) * length));
  CHECK(name.permuted_heads == 0 || length % grain_of(format) == 0, "rows of {} are no whole blocks of {}", name.name,
        shardlora::name_of(format));
  put_heads_in_order(name, param, out, bytes_of(length));
}

void unpermute_heads(std::span<std::byte> rows, std::int64_t head, std::size_t row_bytes) {
  const auto half = static_cast<std::size_t>(head) / 2;
  const std::size_t bytes = 2 * half * row_bytes;
  CHECK(bytes != 0 && rows.size() % bytes == 0, "{} bytes are no whole heads of {} rows of {}", rows.size(), head,
        row_bytes);
  std::vector<std::byte> stored(bytes);
  for (std::size_t begin = 0; begin < rows.size(); begin += bytes) {
    const std::span<std::byte> here = rows.subspan(begin, bytes);
    std::copy(here.begin(), here.end(), stored.begin());
    for (std::size_t k = 0; k < half; ++k) {
      for (std::size_t p = 0; p < 2; ++p)
        std::copy_n(stored.data() + (2 * k + p) * row_bytes, row_bytes, here.data() + (p * half + k) * row_bytes);
    }
  }
}

}  // namespace shardlora
