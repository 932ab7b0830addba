#include "checkpoint/base_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "checkpoint/gguf_config.h"

namespace shardlora {

BaseModel::BaseModel(GgufFile file) : file_(std::move(file)), config_(config_of(file_)) {}

BaseModel BaseModel::open(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    fail(
        "{}: is a folder; this version reads models from GGUF files. Give the path of a .gguf file (llama.cpp's "
        "convert_hf_to_gguf.py --outtype bf16 makes one of a Hugging Face folder)",
        path.string());
  return BaseModel(GgufFile(path));
}

std::string BaseModel::sha256() const { return sha256_of_file(file_.path()); }

const GgufTensor& BaseModel::find(const StoredName& name, const ParamSpec& param) const {
  const GgufTensor* tensor = file_.find(name.name);
  if (tensor == nullptr)
    fail("{}: has no tensor {} (parameter {} {}); the file is incomplete or not a {} model as its metadata says",
         file_.path().string(), name.name, param.name, param.shape.text(), config_.architecture);
  if (tensor->shape != param.shape)
    fail(
        "{}: tensor {} is {}, but by the file's metadata parameter {} is {}; the file is garbled or of an unknown "
        "variant",
        file_.path().string(), name.name, tensor->shape.text(), param.name, param.shape.text());
  return *tensor;
}

void BaseModel::check(const Model& model) const {
  file_.check_supported();
  std::set<std::string> used;
  for (const UnitSpec& unit : model.units()) {
    for (const ParamSpec& param : unit.params) {
      if (param.trainable) continue;
      const StoredName name = model.gguf_name(param);
      find(name, param);
      used.insert(name.name);
    }
  }
  for (const GgufTensor& tensor : file_.tensors()) {
    if (!used.contains(tensor.name) && tensor.name != kRopeDivisors)
      fail(
          "{}: tensor {} {} has no place in a {} model of this version; without it the model would be another one. "
          "Choose a model "
          "without it",
          file_.path().string(), tensor.name, tensor.shape.text(), config_.architecture);
  }
}

std::int64_t BaseModel::row_grain(const StoredName& name, const ParamSpec& param) const {
  const GgufTensor& tensor = find(name, param);
  const std::int64_t block = can_read(tensor.type) ? block_size(tensor.type) : 1, length = row_length(param.shape);
  std::int64_t rows = block / std::gcd(block, std::max<std::int64_t>(length, 1));
  if (name.permuted_heads > 0) rows = std::lcm(rows, param.shape[0] / name.permuted_heads);
  return rows;
}

void BaseModel::read(const StoredName& name, const ParamSpec& param, std::span<float> out) const {
  DCHECK(std::ssize(out) == param.shape.numel(), "{} {} read into {} values", param.name, param.shape.text(),
         out.size());
  read_rows(name, param, 0, out);
}

void BaseModel::read_rows(const StoredName& name, const ParamSpec& param, std::int64_t first,
                          std::span<float> out) const {
  const GgufTensor& tensor = find(name, param);
  const std::int64_t length = row_length(param.shape);
  file_.read_f32(tensor, out, first * length);
  if (!std::all_of(out.begin(), out.end(), [](float x) { return std::isfinite(x); }))
    fail("{}: tensor {} holds a value that is infinite or not a number; the file is damaged, fetch or convert it again",
         file_.path().string(), name.name);
  if (name.permuted_heads == 0) return;
  DCHECK(param.shape[0] % (2 * name.permuted_heads) == 0, "{} has no {} heads of rotary pairs", param.name,
         name.permuted_heads);
  unpermute_heads(out, param.shape[0] / name.permuted_heads, length);
}

void unpermute_heads(std::span<float> rows, std::int64_t head, std::int64_t length) {
  const auto width = static_cast<std::size_t>(length), half = static_cast<std::size_t>(head) / 2;
  const std::size_t values = 2 * half * width;
  DCHECK(values != 0 && rows.size() % values == 0, "{} values are no whole heads of {} rows of {}", rows.size(), head,
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
