#include "io/safetensors.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "io/json.h"

namespace shardlora {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{32} << 20;
constexpr std::size_t kChunkValues = std::size_t{1} << 16;

struct FileDtype {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr FileDtype kDtypes[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2},    {"F64", 8},     {"BOOL", 1},   {"U8", 1},
                                 {"I8", 1},  {"U16", 2}, {"I16", 2},     {"U32", 4},     {"I32", 4},    {"U64", 8},
                                 {"I64", 8}, {"C64", 8}, {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1}};

std::uint64_t bytes_of(std::string_view dtype) {  // 0: not known
  for (const FileDtype& known : kDtypes)
    if (known.name == dtype) return known.bytes;
  return 0;
}

// One file's header: JSON into entries, each refused with the file's and the tensor's name.
class HeaderReader {
 public:
  explicit HeaderReader(const File& file) : file_(file), what_(file.path().string()) {}

  nlohmann::json read() {
    std::uint64_t length = 0;
    if (file_.size() < sizeof length) garbled("{} bytes are too few for a header", file_.size());
    file_.read_at(0, std::as_writable_bytes(std::span(&length, 1)));
    if (length > kMaxHeaderBytes) garbled("a header of {} bytes, at most {} are allowed", length, kMaxHeaderBytes);
    if (length > file_.size() - sizeof length) garbled("a header of {} bytes in a file of {}", length, file_.size());
    std::string text(length, '\0');
    file_.read_at(sizeof length, std::as_writable_bytes(std::span(text)));
    if (text.empty() || text.front() != '{') garbled("the header does not begin with {{");
    data_ = sizeof length + length;
    return parse_json(text, what_ + ": header");
  }

  SafetensorsEntry entry(const std::string& name, const nlohmann::json& fields) const {
    SafetensorsEntry entry{name, "", {}, 0, 0};
    if (!fields.is_object() || !fields.contains("dtype") || !fields["dtype"].is_string() || !fields.contains("shape") ||
        !fields.contains("data_offsets"))
      garbled("tensor {} is not {{dtype, shape, data_offsets}}", name);
    entry.dtype = fields["dtype"].get<std::string>();
    entry.bytes = bytes_of(entry.dtype);
    if (entry.bytes == 0) garbled("tensor {} has the unknown dtype {}", name, entry.dtype);

    const std::vector<std::uint64_t> dims = numbers(name, fields, "shape"),
                                     ends = numbers(name, fields, "data_offsets");
    if (dims.size() > 4) garbled("tensor {} has {} dimensions, at most 4 are supported", name, dims.size());
    // Zero counts as one here, so that a product cannot wrap unseen behind it.
    std::uint64_t checked = entry.bytes;
    bool is_empty = false;
    for (const std::uint64_t dim : dims) {
      is_empty |= dim == 0;
      if (__builtin_mul_overflow(checked, std::max<std::uint64_t>(dim, 1), &checked) || checked >> 63 != 0)
        garbled("tensor {} has too many values", name);
    }
    entry.bytes = is_empty ? 0 : checked;
    entry.shape = shape_of(dims);
    if (ends.size() != 2 || ends[0] > ends[1] || ends[1] > file_.size() - data_ || ends[1] - ends[0] != entry.bytes)
      garbled("tensor {} of {} {} does not lie in its data_offsets", name, entry.dtype, entry.shape.text());
    entry.offset = data_ + ends[0];
    return entry;
  }

  // Sorted by offset: no hole, no overlap, nothing behind the last.
  void check_tiling(const std::vector<SafetensorsEntry>& entries) const {
    std::uint64_t end = data_;
    for (const SafetensorsEntry& entry : entries) {
      if (entry.offset != end)
        garbled("tensor {} begins at byte {}, the one before ends at {}", entry.name, entry.offset, end);
      end += entry.bytes;
    }
    if (end != file_.size()) garbled("the tensors end at byte {} of {}", end, file_.size());
  }

  template <typename... Args>
  [[noreturn]] void garbled(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}: {}; the file is damaged or not a safetensors file, get it again", what_,
         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  std::vector<std::uint64_t> numbers(const std::string& name, const nlohmann::json& fields, const char* key) const {
    const auto found = fields.find(key);
    if (found == fields.end() || !found->is_array()) garbled("tensor {} has no list {}", name, key);
    std::vector<std::uint64_t> values;
    for (const auto& value : *found) {
      if (!value.is_number_unsigned()) garbled("tensor {}: {} holds {}", name, key, value.dump());
      values.push_back(value.get<std::uint64_t>());
    }
    return values;
  }

  static Shape shape_of(const std::vector<std::uint64_t>& dims) {
    const auto d = [&](std::size_t i) { return static_cast<std::int64_t>(dims[i]); };
    switch (dims.size()) {
      case 0: return {};
      case 1: return {d(0)};
      case 2: return {d(0), d(1)};
      case 3: return {d(0), d(1), d(2)};
      default: return {d(0), d(1), d(2), d(3)};
    }
  }

  const File& file_;
  std::string what_;
  std::uint64_t data_ = 0;
};

template <typename T>
void convert(std::span<const std::byte> bytes, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
    out[i] = to_float(value);
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  HeaderReader reader(file_);
  const nlohmann::json header = reader.read();
  for (const auto& [name, fields] : header.items()) {
    if (name != "__metadata__") {
      tensors_.push_back(reader.entry(name, fields));
      continue;
    }
    if (fields.is_null()) continue;
    if (!fields.is_object()) reader.garbled("__metadata__ is not an object");
    for (const auto& [key, value] : fields.items()) {
      if (!value.is_string()) reader.garbled("__metadata__ {} is not a string", key);
      metadata_[key] = value.get<std::string>();
    }
  }
  // Empty tensors first among those that begin at the same byte.
  std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  reader.check_tiling(tensors_);
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_name_[tensors_[i].name] = i;
}

const SafetensorsEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const SafetensorsEntry& SafetensorsFile::tensor(std::string_view name) const {
  const SafetensorsEntry* found = find(name);
  if (found == nullptr) fail("{}: has no tensor {}; the file is incomplete or of another model", path().string(), name);
  return *found;
}

void SafetensorsFile::read_bytes(const SafetensorsEntry& tensor, std::span<std::byte> out, std::uint64_t first) const {
  CHECK(first <= tensor.bytes && out.size() <= tensor.bytes - first, "bytes [{}, {}) of the {} of {}", first,
        first + out.size(), tensor.bytes, tensor.name);
  file_.read_at(tensor.offset + first, out);
}

std::optional<DType> SafetensorsEntry::float_type() const {
  if (dtype == "F32") return DType::kF32;
  if (dtype == "F16") return DType::kF16;
  if (dtype == "BF16") return DType::kBF16;
  return {};
}

void SafetensorsFile::read_f32(const SafetensorsEntry& tensor, std::span<float> out, std::int64_t first) const {
  const std::optional<DType> type = tensor.float_type();
  if (!type) fail("{}: tensor {} is {}, F32, F16 or BF16 was expected", path().string(), tensor.name, tensor.dtype);
  const std::uint64_t size = bytes_of(tensor.dtype);
  std::vector<std::byte> bytes(std::min(kChunkValues, out.size()) * size);
  for (auto at = static_cast<std::uint64_t>(first) * size; !out.empty();) {
    const std::span<float> values = out.first(std::min(kChunkValues, out.size()));
    const std::span<std::byte> part(bytes.data(), values.size() * size);
    read_bytes(tensor, part, at);
    if (*type == DType::kF32) convert<float>(part, values);
    if (*type == DType::kF16) convert<F16>(part, values);
    if (*type == DType::kBF16) convert<BF16>(part, values);
    at += part.size();
    out = out.subspan(values.size());
  }
}

}  // namespace shardlora
