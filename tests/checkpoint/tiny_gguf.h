// GGUF files of F32 tensors, or of given blocks, to be changed by a test before they are written.
#pragma once

#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "io/gguf_bytes.h"
#include "tensor/tensor.h"

namespace shardlora {

struct TinyGguf {
  using Value = std::variant<std::uint32_t, float, std::string>;
  struct Entry {
    std::string name;
    Shape shape;
    std::vector<float> values;
    std::vector<std::byte> blocks = {};  // of type block_type; instead of values
    std::uint32_t block_type = 0;
  };
  std::vector<std::pair<std::string, Value>> metadata;
  std::vector<Entry> tensors;

  void set(const std::string& key, Value value) {
    drop(key);
    metadata.emplace_back(key, std::move(value));
  }
  void drop(const std::string& key) {
    std::erase_if(metadata, [&](const auto& entry) { return entry.first == key; });
  }
  Entry& tensor(const std::string& name) {
    for (Entry& entry : tensors)
      if (entry.name == name) return entry;
    throw std::logic_error("no tensor " + name);
  }
  void drop_tensor(const std::string& name) {
    std::erase_if(tensors, [&](const Entry& entry) { return entry.name == name; });
  }

  std::string bytes() const {
    GgufBytes file;
    for (const auto& [key, value] : metadata) {
      if (const auto* number = std::get_if<std::uint32_t>(&value)) file.u32(key, *number);
      if (const auto* real = std::get_if<float>(&value)) file.key(key, 6, GgufBytes::raw(*real));
      if (const auto* text = std::get_if<std::string>(&value)) file.text(key, *text);
    }
    std::string data;
    for (const Entry& entry : tensors) {
      std::vector<std::uint64_t> reversed;
      for (int d = entry.shape.rank() - 1; d >= 0; --d) reversed.push_back(static_cast<std::uint64_t>(entry.shape[d]));
      file.tensor(entry.name, reversed, entry.block_type, data.size());
      data.append(reinterpret_cast<const char*>(entry.values.data()), entry.values.size() * sizeof(float));
      data.append(reinterpret_cast<const char*>(entry.blocks.data()), entry.blocks.size());
      data.resize((data.size() + 31) / 32 * 32);
    }
    return file.data(std::move(data)).bytes();
  }
};

}  // namespace shardlora
