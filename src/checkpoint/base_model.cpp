#include "checkpoint/base_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "checkpoint/hub_cache.h"

namespace shardlora {

BaseModel BaseModel::open(const std::string& name) {
  const std::filesystem::path path = find_model(name);
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return BaseModel(open_folder(path));
  if (path.extension() == ".safetensors")
    fail("{}: is one file of a model; give the folder that it lies in, with its config.json", path.string());
  return BaseModel(open_gguf(path));
}

void BaseModel::find(const StoredName& name, const ParamSpec& param) const {
  const std::optional<Shape> shape = source_->shape_of(name.name);
  if (!shape) {
    const std::string stored_as = name.name == param.name ? "" : fmt::format(" (parameter {})", param.name);
    fail("{}: has no tensor {} {}{}; the model is incomplete or not a {} model as it says", path().string(), name.name,
         param.shape.text(), stored_as, config().architecture);
  }
  if (*shape != param.shape)
    fail(
        "{}: tensor {} is {}, but by the model's configuration {} is {}; the files are garbled or of an unknown "
        "variant",
        source_->file_of(name.name).string(), name.name, shape->text(), param.name, param.shape.text());
}

void BaseModel::check(const ModelSpec& model) const {
  source_->check_readable();
  std::set<std::string> used;
  for (const UnitSpec& unit : model.units()) {
    for (const ParamSpec& param : unit.params) {
      if (param.trainable && !trains_as_a_whole(param)) continue;
      const StoredName name = name_of(model, param);
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

std::int64_t BaseModel::row_grain(const StoredName& name, const ParamSpec& param) const {
  find(name, param);
  const std::int64_t block = source_->block_of(name.name), length = row_length(param.shape);
  std::int64_t rows = block / std::gcd(block, std::max<std::int64_t>(length, 1));
  if (name.permuted_heads > 0) rows = std::lcm(rows, param.shape[0] / name.permuted_heads);
  return rows;
}

void BaseModel::read(const StoredName& name, const ParamSpec& param, std::span<float> out) const {
  CHECK(std::ssize(out) == param.shape.numel(), "{} {} read into {} values", param.name, param.shape.text(),
        out.size());
  read_rows(name, param, 0, out);
}

void BaseModel::read_rows(const StoredName& name, const ParamSpec& param, std::int64_t first,
                          std::span<float> out) const {
  find(name, param);
  const std::int64_t length = row_length(param.shape);
  source_->read_f32(name.name, out, first * length);
  if (!std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); }))
    fail("{}: tensor {} holds a value that is infinite or not a number; the file is damaged, fetch or convert it again",
         source_->file_of(name.name).string(), name.name);
  if (name.permuted_heads == 0) return;
  CHECK(param.shape[0] % (2 * name.permuted_heads) == 0, "{} has no {} heads of rotary pairs", param.name,
        name.permuted_heads);
  unpermute_heads(out, param.shape[0] / name.permuted_heads, length);
}

void unpermute_heads(std::span<float> rows, std::int64_t head, std::int64_t length) {
  const auto width = static_cast<std::size_t>(length), half = static_cast<std::size_t>(head) / 2;
  const std::size_t values = 2 * half * width;
  CHECK(values != 0 && rows.size() % values == 0, "{} values are no whole heads of {} rows of {}", rows.size(), head,
        length);
  std::vector<float> stored(values);
  for (std::size_t begin = 0; begin < rows.size(); begin += values) {
    const std::span<float> here = rows.subspan(begin, values);
    std::copy(here.begin(), here.end(), stored.begin());
    for (std::size_t k = 0; k < half; ++k) {
      for (std::size_t p = 0; p < 2; ++p)
        std::copy_n(stored.data() + (2 * k + p) * width, width, here.data() + (p * half + k) * width);
    }
  }
}

}  // namespace shardlora
