// Where the tensors of a base model lie: a GGUF file, a Hugging Face folder, or a prepared base. Immutable after open;
// any number of threads may read.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/model_spec.h"

namespace shardlora {

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  virtual const ModelConfig& config() const = 0;
  // The file or folder as it was given.
  virtual const std::filesystem::path& path() const = 0;
  // Of everything that makes the model, read now.
  virtual std::string sha256() const = 0;

  // Whether its bytes were checked and packed before: nothing in it is left to be refused but what a disk spoils.
  virtual bool is_prepared() const { return false; }

  // What this checkpoint calls a parameter, and how it stores it.
  virtual StoredName name_of(const std::string& parameter) const = 0;
  // The file that holds (or should hold) a tensor: for messages.
  virtual const std::filesystem::path& file_of(const std::string& name) const = 0;
  virtual std::optional<Shape> shape_of(const std::string& name) const = 0;  // nothing: there is no such tensor
  // What a tensor is stored as. Nothing: in a type that cannot be read.
  virtual std::optional<Format> format_of(const std::string& name) const = 0;
  // Decoded, from the row-major value `first` on: whole blocks of the format.
  virtual void read_f32(const std::string& name, std::span<float> out, std::int64_t first) const = 0;
  // The stored bytes of a section of the format, from byte `first` of it on.
  virtual void read_section(const std::string& name, int section, std::span<std::byte> out,
                            std::size_t first) const = 0;
  // Of a prepared base: the tensor's bytes as they lie in a unit of its own (UnitLayout), from byte `first` on.
  virtual void read_bytes(const std::string& name, std::span<std::byte> out, std::size_t first) const;

  // Tensors in a type that read_f32 cannot decode are an Error that lists types.
  virtual void check_readable() const = 0;
  // Without those that are no parameters (tables of rotary frequencies, a second copy of a tied head).
  virtual std::vector<std::string> parameters() const = 0;
};

std::unique_ptr<const TensorSource> open_gguf(const std::filesystem::path& file);
std::unique_ptr<const TensorSource> open_folder(const std::filesystem::path& folder);
// Whether shardlora quantize has made this folder; one that it did not finish is an Error.
bool holds_prepared_base(const std::filesystem::path& folder);
std::unique_ptr<const TensorSource> open_prepared(const std::filesystem::path& folder);

}  // namespace shardlora
