// The tensors of a Hugging Face model folder: model.safetensors, or the shards that model.safetensors.index.json names.
// Opening reads and checks the headers of all files; values are read where they are asked for. A shard outside the
// folder, one that is missing, or one without a tensor that the index promises is one Error.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/safetensors.h"

namespace shardlora {

class SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const std::filesystem::path& folder);

  struct Place {
    const SafetensorsFile* file;
    const SafetensorsEntry* entry;
  };
  const std::map<std::string, Place>& tensors() const { return tensors_; }
  const Place* find(const std::string& name) const;
  const std::vector<SafetensorsFile>& files() const { return files_; }  // by name

 private:
  void open_shards(const std::filesystem::path& folder);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place> tensors_;
};

}  // namespace shardlora
