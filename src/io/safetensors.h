// safetensors files: a JSON header, then the tensors' bytes, row-major and little endian. The reader refuses every file
// whose ranges do not tile the data exactly; the writer keeps the reference writer's order (dtype, the
// wider ones first, then name) and always writes `format: pt`, without which Hugging Face's loaders refuse a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "tensor/tensor.h"

namespace shardlora {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;     // as the file spells it: "F32", "BF16", "U8", ...
  Shape shape;           // row-major, outermost first; rank 0 is one value
  std::uint64_t offset;  // from the start of the file
  std::uint64_t bytes;
  std::optional<DType> float_type() const;  // F32, F16 or BF16: what read_f32 reads. Nothing: it is another type
};

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<SafetensorsEntry>& tensors() const { return tensors_; }  // in the order of their bytes
  const SafetensorsEntry* find(std::string_view name) const;                 // nullptr where there is none
  const SafetensorsEntry& tensor(std::string_view name) const;               // an Error where there is none

  // out.size() values from the row-major position `first` on; an Error where it is no float.
  void read_f32(const SafetensorsEntry& tensor, std::span<float> out, std::int64_t first = 0) const;
  // The bytes as they lie in the file; out.size() of them from byte `first` of the tensor on.
  void read_bytes(const SafetensorsEntry& tensor, std::span<std::byte> out, std::uint64_t first = 0) const;

 private:
  File file_;
  std::map<std::string, std::string> metadata_;
  std::vector<SafetensorsEntry> tensors_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

// A file that is written tensor by tensor, so that never more than one has to be in memory. It takes its place with
// `finish`; before that, and after an Error, there is what was there before.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
  };
  // Names must differ; `metadata` may add to `format: pt`.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<Entry> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  const std::vector<Entry>& tensors() const { return tensors_; }  // in the order of the file
  void write(ConstTensor next);  // each of them in that order, whole or run by run of rows
  void finish();

 private:
  std::vector<Entry> tensors_;
  std::size_t written_ = 0;  // whole
  std::int64_t values_ = 0;  // of the next one
  AtomicFile file_;
};

}  // namespace shardlora
