// Builds GGUF files byte by byte, also such as no writer would write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shardlora {

class GgufBytes {
 public:
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t extra_tensors = 0, extra_keys = 0;  // announced in the header and not there

  template <typename T>
  static std::string raw(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static std::string string(std::string_view text) { return raw<std::uint64_t>(text.size()) + std::string(text); }

  // `type` and `value` as the file has them.
  GgufBytes& key(std::string_view name, std::uint32_t type, const std::string& value) {
    keys_.push_back(string(name) + raw(type) + value);
    return *this;
  }
  GgufBytes& text(std::string_view name, std::string_view value) { return key(name, 8, string(value)); }
  GgufBytes& u32(std::string_view name, std::uint32_t value) { return key(name, 4, raw(value)); }
  GgufBytes& texts(std::string_view name, const std::vector<std::string>& values) {
    std::string value = raw<std::uint32_t>(8) + raw<std::uint64_t>(values.size());
    for (const std::string& v : values) value += string(v);
    return key(name, 9, value);
  }
  GgufBytes& i32s(std::string_view name, const std::vector<std::int32_t>& values) {
    std::string value = raw<std::uint32_t>(5) + raw<std::uint64_t>(values.size());
    for (const std::int32_t v : values) value += raw(v);
    return key(name, 9, value);
  }
  GgufBytes& tensor(std::string_view name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                    std::uint64_t offset) {
    std::string info = string(name) + raw(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t d : dims) info += raw(d);
    tensors_.push_back(info + raw(type) + raw(offset));
    return *this;
  }
  GgufBytes& data(std::string bytes) {
    data_ = std::move(bytes);
    return *this;
  }

  std::string bytes(std::size_t alignment = 32) const {
    std::string out = magic + raw(version) + raw(tensors_.size() + extra_tensors) + raw(keys_.size() + extra_keys);
    for (const std::string& k : keys_) out += k;
    for (const std::string& t : tensors_) out += t;
    if (!tensors_.empty()) out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data_;
  }

 private:
  std::vector<std::string> keys_, tensors_;
  std::string data_;
};

}  // namespace shardlora
