// The frozen model as it lies on disk: its numbers and its parameters' values, in Hugging Face's names and row order.
// From a GGUF file, a Hugging Face folder or a prepared base, by the byte ranges that are asked for: it may be larger
// than memory. Immutable after open; any number of threads may read.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "checkpoint/tensor_source.h"

namespace shardlora {

class BaseModel {
 public:
  // A .gguf file, a folder with config.json and safetensors, or a prepared base, of a known architecture, by its path
  // or as find_model finds it. An Error says what is missing.
  static BaseModel open(const std::string& name);

  const ModelConfig& config() const { return source_->config(); }
  const std::filesystem::path& path() const { return source_->path(); }
  // Of everything that makes the model, read now. What a checkpoint pins its base with.
  std::string sha256() const { return source_->sha256(); }
  bool is_prepared() const { return source_->is_prepared(); }
  // What this base calls a parameter, and how it stores it.
  StoredName name_of(const std::string& parameter) const { return source_->name_of(parameter); }
  // What a tensor of this name is packed as; nothing where there is none, or it cannot be read.
  std::optional<Format> stored_format(const StoredName& name) const;
  // Formats that are not dense, each once, in the order of the tensors: none where the base is not quantised.
  std::vector<Format> quantised_formats() const;

  // It has every frozen parameter of `model` in its shape, in a type that can be read, and no tensor that the model
  // would leave out (a bias). To be called before anything large is allocated.
  void check(const ModelSpec& model) const;

  // out = all values of a parameter, row-major; of a slice its own. A tensor that is missing, of another shape or with
  // values that are not finite is an Error.
  void read(const StoredName& name, const ParamSpec& param, std::span<float> out) const;
  // The rows from `first` on, as many as `out` holds; both multiples of row_grain(name, param).
  void read_rows(const StoredName& name, const ParamSpec& param, std::int64_t first, std::span<float> out) const;
  // The same rows as they are stored, in section 0 of stored_format(name), which is whole blocks in every row if heads
  // have to be put in order.
  void read_packed_rows(const StoredName& name, const ParamSpec& param, std::int64_t first,
                        std::span<std::byte> out) const;
  // Bytes of a section of stored_format(name), from byte `first` of it on, as they are stored.
  void read_section(const StoredName& name, int section, std::span<std::byte> out, std::size_t first = 0) const {
    source_->read_section(name.name, section, out, first);
  }
  // Of a prepared base: bytes of a parameter as it lies in a unit of its own (UnitLayout), from byte `first` on.
  void read_bytes(const StoredName& name, std::span<std::byte> out, std::size_t first) const {
    source_->read_bytes(name.name, out, first);
  }
  // Values of a dense format from `first` on, in the order in which they are stored.
  void read_values(const StoredName& name, std::span<float> out, std::int64_t first) const;
  // Values of a tensor that are not finite are an Error.
  void check_finite(const StoredName& name, std::span<const float> values) const;
  // Rows that have to be read together: blocks of GGUF and heads whose rows are in another order are not cut.
  std::int64_t row_grain(const StoredName& name, const ParamSpec& param) const;

 private:
  explicit BaseModel(std::unique_ptr<const TensorSource> source) : source_(std::move(source)) {}
  void find(const StoredName& name, const ParamSpec& param) const;

  std::unique_ptr<const TensorSource> source_;
};

// Values of one row of a parameter.
inline std::int64_t row_length(const Shape& shape) { return shape.rank() < 2 ? 1 : shape.numel() / shape[0]; }

// Puts the rows of whole heads from the order of GGUF's llama (rotary pairs side by side: row 2k + p) back to Hugging
// Face's (halves: row p * head / 2 + k). rows: heads * head of row_bytes each.
void unpermute_heads(std::span<std::byte> rows, std::int64_t head, std::size_t row_bytes);

}  // namespace shardlora
