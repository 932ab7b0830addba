// Reading and checking of all of a GGUF file but its tensors' values. Every count and length is held against the bytes
// that remain before anything is allocated for it.
#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "base/error.h"
#include "io/checked_reader.h"
#include "io/gguf.h"
#include "io/gguf_types.h"

namespace shardlora {
namespace {

constexpr std::uint64_t kMaxStringBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kMaxArrayCount = std::uint64_t{16} << 20;
constexpr std::uint64_t kMaxKeyBytes = 65535;
constexpr std::uint64_t kMaxNameBytes = 1024;  // ggml itself stops at 64
constexpr std::uint64_t kMaxAlignment = 4096;
constexpr std::uint64_t kMinKeyValueBytes = 8 + 4 + 1;
constexpr std::uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

enum ValueType : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

std::uint64_t least_bytes(std::uint32_t type) {  // of one value; 0 for types that cannot be elements
  switch (type) {
    case kU8:
    case kI8:
    case kBool: return 1;
    case kU16:
    case kI16: return 2;
    case kU32:
    case kI32:
    case kF32: return 4;
    case kU64:
    case kI64:
    case kF64:
    case kString: return 8;
    default: return 0;
  }
}

}  // namespace

class GgufReader : CheckedReader {
 public:
  explicit GgufReader(GgufFile& to) : CheckedReader(to.file_), to_(to) {}

  void read_all() {
    read_header();
    for (std::uint64_t i = 0; i < key_values_; ++i) read_key_value();
    to_.metadata_end_ = position();
    to_.tensors_.reserve(tensors_);
    for (std::uint64_t i = 0; i < tensors_; ++i) read_tensor();
    place_tensors();
  }

 private:
  std::int64_t take_integer(std::uint32_t type) {
    switch (type) {
      case kU8: return take<std::uint8_t>();
      case kI8: return take<std::int8_t>();
      case kU16: return take<std::uint16_t>();
      case kI16: return take<std::int16_t>();
      case kU32: return take<std::uint32_t>();
      case kI32: return take<std::int32_t>();
      case kI64: return take<std::int64_t>();
      default: break;
    }
    const auto value = take<std::uint64_t>();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) garbled("{} is too large", value);
    return static_cast<std::int64_t>(value);
  }

  double take_real(std::uint32_t type) { return type == kF32 ? double{take<float>()} : take<double>(); }

  bool take_bool() {
    const auto value = take<std::uint8_t>();
    if (value > 1) garbled("{} where a boolean should be", value);
    return value == 1;
  }

  void read_header() {
    if (remaining() < 24) garbled("{} bytes are too few for a GGUF header", remaining());
    const auto magic = take<std::array<char, 4>>();
    if (std::string_view(magic.data(), magic.size()) != "GGUF") garbled("it does not begin with GGUF");
    const auto version = take<std::uint32_t>();
    if (version != 0 && (version & 0xFFFF) == 0) garbled("it is a big-endian file, which is not supported");
    if (version != 2 && version != 3) garbled("version {}, supported are 2 and 3", version);
    tensors_ = take<std::uint64_t>();
    if (tensors_ > remaining() / kMinTensorBytes) garbled("{} tensors in {} bytes", tensors_, remaining());
    key_values_ = take<std::uint64_t>();
    if (key_values_ > remaining() / kMinKeyValueBytes)
      garbled("{} metadata keys in {} bytes", key_values_, remaining());
  }

  void read_key_value() {
    const std::uint64_t begin = position();
    std::string key = take_string(kMaxKeyBytes, "a key");
    const auto type = take<std::uint32_t>();
    GgufFile::Value value = type == kArray ? take_array() : take_value(type);
    point_at(begin);
    const auto [place, inserted] = to_.metadata_.emplace(std::move(key), std::move(value));
    if (!inserted) garbled("metadata key {} occurs twice", place->first);
  }

  GgufFile::Value take_value(std::uint32_t type) {
    switch (type) {
      case kF32:
      case kF64: return take_real(type);
      case kBool: return take_bool();
      case kString: return take_string(kMaxStringBytes, "a string");
      default: break;
    }
    if (least_bytes(type) == 0) garbled("value type {} is not known", type);
    return take_integer(type);
  }

  GgufFile::Value take_array() {
    const auto type = take<std::uint32_t>();
    if (least_bytes(type) == 0) garbled("an array of type {}, only plain values and strings are supported", type);
    const auto count = take<std::uint64_t>();
    if (count > kMaxArrayCount) garbled("an array of {} elements, at most {} are allowed", count, kMaxArrayCount);
    if (count > remaining() / least_bytes(type)) garbled("an array of {} elements in {} bytes", count, remaining());
    switch (type) {
      case kF32:
      case kF64: return elements<double>(count, [&] { return take_real(type); });
      case kBool: return elements<bool>(count, [&] { return take_bool(); });
      case kString: return elements<std::string>(count, [&] { return take_string(kMaxStringBytes, "a string"); });
      default: return elements<std::int64_t>(count, [&] { return take_integer(type); });
    }
  }

  template <typename T, typename Take>
  std::vector<T> elements(std::uint64_t count, Take take_one) {
    std::vector<T> values;
    values.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) values.push_back(take_one());
    return values;
  }

  void read_tensor() {
    const std::uint64_t begin = position();
    GgufTensor tensor;
    tensor.name = take_string(kMaxNameBytes, "a tensor name");
    const auto rank = take<std::uint32_t>();
    if (rank > 4) garbled("tensor {} has {} dimensions, at most 4 are supported", tensor.name, rank);
    std::array<std::int64_t, 4> dims{1, 1, 1, 1};  // fastest first
    std::int64_t numel = 1;
    for (std::uint32_t i = 0; i < rank; ++i) {
      dims[i] = take_integer(kU64);
      if (dims[i] == 0) garbled("tensor {} has a dimension of 0", tensor.name);
      if (__builtin_mul_overflow(numel, dims[i], &numel)) garbled("tensor {} has too many values", tensor.name);
    }
    tensor.shape = reversed(dims, rank);
    tensor.type = static_cast<GgmlType>(take<std::uint32_t>());
    tensor.bytes = 0;
    if (const auto block = block_of(tensor.type)) {
      if (dims[0] % block->values != 0)
        garbled("tensor {} has rows of {} values, which {} stores by {}", tensor.name, dims[0], block->name,
                block->values);
      if (__builtin_mul_overflow(static_cast<std::uint64_t>(numel / block->values), block->bytes, &tensor.bytes))
        garbled("tensor {} has too many values", tensor.name);
    }
    tensor.offset = take<std::uint64_t>();
    point_at(begin);
    if (!to_.by_name_.emplace(tensor.name, to_.tensors_.size()).second) garbled("tensor {} occurs twice", tensor.name);
    to_.tensors_.push_back(std::move(tensor));
  }

  static Shape reversed(const std::array<std::int64_t, 4>& dims, std::uint32_t rank) {
    switch (rank) {
      case 0: return {};
      case 1: return {dims[0]};
      case 2: return {dims[1], dims[0]};
      case 3: return {dims[2], dims[1], dims[0]};
      default: return {dims[3], dims[2], dims[1], dims[0]};
    }
  }

  // From offsets in the data section to offsets in the file; no two tensors may share bytes.
  void place_tensors() {
    point_at(position());
    const std::uint64_t alignment = alignment_of_data();
    const std::uint64_t data = (position() + alignment - 1) / alignment * alignment;
    std::vector<const GgufTensor*> in_order;
    for (GgufTensor& tensor : to_.tensors_) {
      if (tensor.offset % alignment != 0)
        garbled("tensor {} lies at {}, not a multiple of {}", tensor.name, tensor.offset, alignment);
      std::uint64_t end = 0;
      if (__builtin_add_overflow(tensor.offset, data, &tensor.offset) ||
          __builtin_add_overflow(tensor.offset, tensor.bytes, &end) || end > to_.file_.size())
        garbled("tensor {} needs {} bytes at {} of a file of {}", tensor.name, tensor.bytes, tensor.offset,
                to_.file_.size());
      in_order.push_back(&tensor);
    }
    std::sort(in_order.begin(), in_order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
    for (std::size_t i = 1; i < in_order.size(); ++i)
      if (in_order[i - 1]->offset + std::max<std::uint64_t>(in_order[i - 1]->bytes, 1) > in_order[i]->offset)
        garbled("tensors {} and {} share bytes", in_order[i - 1]->name, in_order[i]->name);
  }

  std::uint64_t alignment_of_data() const {
    constexpr std::int64_t kDefault = 32;
    const std::int64_t alignment = to_.integer("general.alignment", kDefault);
    if (alignment < 1 || static_cast<std::uint64_t>(alignment) > kMaxAlignment ||
        !std::has_single_bit(static_cast<std::uint64_t>(alignment)))
      garbled("general.alignment is {}, not a power of two up to {}", alignment, kMaxAlignment);
    return static_cast<std::uint64_t>(alignment);
  }

  GgufFile& to_;
  std::uint64_t tensors_ = 0, key_values_ = 0;
};

GgufFile::GgufFile(const std::filesystem::path& path) : file_(path) { GgufReader(*this).read_all(); }

}  // namespace shardlora
