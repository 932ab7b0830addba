// A safetensors file out of tensors that are all at hand.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/safetensors.h"

namespace shardlora {

struct NamedTensor {
  std::string name;
  ConstTensor values;
};

// Names must differ; `metadata` may add to `format: pt`.
inline void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::vector<SafetensorsWriter::Entry> entries;
  std::map<std::string, ConstTensor> values;
  for (const NamedTensor& tensor : tensors) {
    entries.push_back({tensor.name, tensor.values.dtype, tensor.values.shape});
    values[tensor.name] = tensor.values;
  }
  SafetensorsWriter writer(path, std::move(entries), metadata);
  for (const SafetensorsWriter::Entry& entry : writer.tensors()) writer.write(values.at(entry.name));
  writer.finish();
}

}  // namespace shardlora
