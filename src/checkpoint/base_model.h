// The frozen model as it lies on disk: its numbers and its parameters' values, in Hugging Face's names and row order.
// This version reads GGUF. Immutable after open; any number of threads may read.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "io/gguf.h"
#include "models/model.h"

namespace shardlora {

class BaseModel {
 public:
  // Opens a .gguf file of a known architecture. An Error says what the file lacks.
  static BaseModel open(const std::filesystem::path& path);

  const ModelConfig& config() const { return config_; }
  const GgufFile& file() const { return file_; }
  // Of the whole file, read now. What a checkpoint pins its base with.
  std::string sha256() const;

  // The file has every frozen parameter of `model` in its shape, in a type that can be read, and no tensor that the
  // model would leave out (a bias). To be called before anything large is allocated.
  void check(const Model& model) const;

  // out = all values of a parameter, row-major. A tensor that is missing, of another shape or with values that are not
  // finite is an Error.
  void read(const StoredName& name, const ParamSpec& param, std::span<float> out) const;
  // The rows from `first` on, as many as `out` holds; both multiples of row_grain(name, param).
  void read_rows(const StoredName& name, const ParamSpec& param, std::int64_t first, std::span<float> out) const;
  // Rows that have to be read together: blocks of the file and heads whose rows are in another order are not cut.
  std::int64_t row_grain(const StoredName& name, const ParamSpec& param) const;

 private:
  explicit BaseModel(GgufFile file);
  const GgufTensor& find(const StoredName& name, const ParamSpec& param) const;

  GgufFile file_;
  ModelConfig config_;
};

// Values of one row of a parameter.
inline std::int64_t row_length(const Shape& shape) { return shape.rank() < 2 ? 1 : shape.numel() / shape[0]; }

// Puts the rows of whole heads from the order of GGUF's llama (rotary pairs side by side: row 2k + p) back to Hugging
// Face's (halves: row p * head / 2 + k). rows: (heads * head, length).
void unpermute_heads(std::span<float> rows, std::int64_t head, std::int64_t length);

}  // namespace shardlora
