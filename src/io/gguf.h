// A GGUF file (versions 2 and 3, little endian): typed metadata and tensors stored as ggml blocks. Opening reads and
// checks everything but the tensors' values: sizes against the bytes that remain before anything is allocated, names
// for duplicates, offsets against the file. A garbled file gives one Error with path, byte offset and reason.
// Format: ggml's docs/gguf.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/file.h"
#include "quant/format.h"

namespace shardlora {

// The numbers are the file's. A tensor of another type than these may carry any number.
enum class GgmlType : std::uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kBF16 = 30,
};
std::string name_of(GgmlType type);  // "Q4_1"; "type 77" where the number is not known
// What its values are packed as. Nothing: it cannot be read.
std::optional<Format> format_of(GgmlType type);

struct GgufTensor {
  std::string name;
  Shape shape;  // row-major, outermost first: the file's dimensions reversed
  GgmlType type;
  std::uint64_t offset;  // from the start of the file
  std::uint64_t bytes;   // 0 where the type's block size is not known
};

class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }

  // Metadata. A key that is missing or of another kind is an Error that names file and key; with a `fallback` only
  // another kind is. Integers of every width and sign come as int64; reals() and real() take integers too.
  bool has(std::string_view key) const;
  const std::string& text(std::string_view key) const;
  std::string text(std::string_view key, std::string_view fallback) const;
  std::int64_t integer(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t fallback) const;
  double real(std::string_view key) const;
  double real(std::string_view key, double fallback) const;
  bool boolean(std::string_view key) const;
  bool boolean(std::string_view key, bool fallback) const;
  const std::vector<std::string>& texts(std::string_view key) const;
  const std::vector<std::int64_t>& integers(std::string_view key) const;
  std::vector<double> reals(std::string_view key) const;

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find(std::string_view name) const;    // nullptr where there is none
  const GgufTensor& tensor(std::string_view name) const;  // an Error where there is none

  // An Error that names every type in the file that read_f32 cannot decode, and those that it can.
  void check_supported() const;
  // The bytes as they lie in the file; out.size() of them from byte `first` of the tensor on.
  void read_bytes(const GgufTensor& tensor, std::span<std::byte> out, std::uint64_t first = 0) const;
  // Decodes out.size() values from `first` (a multiple of the block's size) on, in f32 arithmetic.
  void read_f32(const GgufTensor& tensor, std::span<float> out, std::int64_t first = 0) const;

  using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<bool>, std::vector<std::int64_t>,
                             std::vector<double>, std::vector<std::string>>;

 private:
  friend class GgufReader;
  friend void write_gguf_metadata(const std::filesystem::path& to, const GgufFile& file);
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  template <typename T>
  const T* get(std::string_view key, const char* kind) const;
  const Value& required(std::string_view key) const;

  File file_;
  std::uint64_t metadata_end_ = 0;  // byte behind the last key's value
  std::unordered_map<std::string, Value, Hash, std::equal_to<>> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>> by_name_;
};

// A file of the same metadata without tensors: what stands beside weights that have left it, under this name in their
// folder. Atomically.
inline constexpr const char* kGgufMetadata = "metadata.gguf";
void write_gguf_metadata(const std::filesystem::path& to, const GgufFile& file);

}  // namespace shardlora
