#include "io/gguf.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "io/gguf_types.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

constexpr const char* kSupported = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K and Q6_K";
constexpr std::size_t kChunkBytes = std::size_t{1} << 18;

}  // namespace

std::string name_of(GgmlType type) {
  const auto block = block_of(type);
  return block ? block->name : fmt::format("type {}", static_cast<std::uint32_t>(type));
}

std::optional<Format> format_of(GgmlType type) {
  const auto block = block_of(type);
  if (!block || !block->codec) return {};
  return Format{.codec = *block->codec};
}

bool GgufFile::has(std::string_view key) const { return metadata_.find(key) != metadata_.end(); }

const GgufFile::Value& GgufFile::required(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end())
    fail("{}: has no metadata key {}; the file is incomplete, convert the model again or take another file",
         path().string(), key);
  return found->second;
}

template <typename T>
const T* GgufFile::get(std::string_view key, const char* kind) const {
  const T* value = std::get_if<T>(&required(key));
  if (value == nullptr) fail("{}: metadata key {} is not {}", path().string(), key, kind);
  return value;
}

const std::string& GgufFile::text(std::string_view key) const { return *get<std::string>(key, "a string"); }
std::int64_t GgufFile::integer(std::string_view key) const { return *get<std::int64_t>(key, "an integer"); }
bool GgufFile::boolean(std::string_view key) const { return *get<bool>(key, "a boolean"); }

double GgufFile::real(std::string_view key) const {
  if (const auto* whole = std::get_if<std::int64_t>(&required(key))) return static_cast<double>(*whole);
  const double value = *get<double>(key, "a number");
  if (!std::isfinite(value)) fail("{}: metadata key {} is not a finite number", path().string(), key);
  return value;
}

std::string GgufFile::text(std::string_view key, std::string_view fallback) const {
  return has(key) ? text(key) : std::string(fallback);
}
std::int64_t GgufFile::integer(std::string_view key, std::int64_t fallback) const {
  return has(key) ? integer(key) : fallback;
}
double GgufFile::real(std::string_view key, double fallback) const { return has(key) ? real(key) : fallback; }
bool GgufFile::boolean(std::string_view key, bool fallback) const { return has(key) ? boolean(key) : fallback; }

const std::vector<std::string>& GgufFile::texts(std::string_view key) const {
  return *get<std::vector<std::string>>(key, "an array of strings");
}
const std::vector<std::int64_t>& GgufFile::integers(std::string_view key) const {
  return *get<std::vector<std::int64_t>>(key, "an array of integers");
}
std::vector<double> GgufFile::reals(std::string_view key) const {
  if (const auto* whole = std::get_if<std::vector<std::int64_t>>(&required(key))) return {whole->begin(), whole->end()};
  return *get<std::vector<double>>(key, "an array of numbers");
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const GgufTensor& GgufFile::tensor(std::string_view name) const {
  const GgufTensor* found = find(name);
  if (found == nullptr)
    fail("{}: has no tensor {}; the file is incomplete or of another architecture", path().string(), name);
  return *found;
}

void GgufFile::check_supported() const {
  std::map<std::string, int> unreadable;
  for (const GgufTensor& tensor : tensors_)
    if (!format_of(tensor.type)) ++unreadable[name_of(tensor.type)];
  if (unreadable.empty()) return;
  std::string list;
  for (const auto& [name, count] : unreadable)
    list += fmt::format("{}{} ({} tensors)", list.empty() ? "" : ", ", name, count);
  fail("{}: holds tensors of types that cannot be read: {}; supported are {}. Take a file of one of these types",
       path().string(), list, kSupported);
}

void GgufFile::read_bytes(const GgufTensor& tensor, std::span<std::byte> out, std::uint64_t first) const {
  CHECK(first <= tensor.bytes && out.size() <= tensor.bytes - first, "bytes [{}, {}) of {} {}", first,
        first + out.size(), tensor.name, tensor.shape.text());
  file_.read_at(tensor.offset + first, out);
}

void GgufFile::read_f32(const GgufTensor& tensor, std::span<float> out, std::int64_t first) const {
  const std::optional<Format> format = format_of(tensor.type);
  if (!format)
    fail("{}: tensor {} is {}, which cannot be read; supported are {}. Take a file of one of these types",
         path().string(), tensor.name, name_of(tensor.type), kSupported);
  const GgmlBlock block = block_of(tensor.type).value();
  const auto values = static_cast<std::size_t>(block.values);
  CHECK(first >= 0 && first % block.values == 0 && out.size() % values == 0,
        "{} values of {} from {} on are no whole blocks of {}", out.size(), tensor.name, first, values);

  const std::size_t step = kChunkBytes / block.bytes;  // blocks
  std::vector<std::byte> bytes(std::min(step, out.size() / values) * block.bytes);
  std::uint64_t offset = static_cast<std::uint64_t>(first / block.values) * block.bytes;
  while (!out.empty()) {
    const std::size_t blocks = std::min(step, out.size() / values), count = blocks * values;
    const std::span<std::byte> part(bytes.data(), blocks * block.bytes);
    read_bytes(tensor, part, offset);
    dequantize({*format, {static_cast<std::int64_t>(count)}, {part.data()}}, 0, out.first(count));
    offset += part.size();
    out = out.subspan(count);
  }
}

}  // namespace shardlora
