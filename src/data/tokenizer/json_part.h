// Reads the members of one object of a tokenizer file; errors say where it stands. Which members must be there is the
// caller's to say: at() is for those, the others take a fallback where the member is absent or null.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "io/json.h"

namespace shardlora {

inline constexpr std::uint64_t kMaxConfigBytes = 16 << 20;

inline nlohmann::json read_json(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return parse_json(read_text(path, max_bytes), path.string(), LargeIntegers::kRounded);
}

class JsonPart {
 public:
  // `where`: "model/tokenizer.json: normalizer".
  JsonPart(const nlohmann::json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) fail("{}: an object is expected, not {}", where_, json.type_name());
  }

  const std::string& where() const { return where_; }
  const nlohmann::json& json() const { return json_; }
  bool has(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  const nlohmann::json& at(const char* key) const {
    if (!has(key)) fail("{}: \"{}\" is missing", where_, key);
    return json_.at(key);
  }
  JsonPart part(const char* key) const { return {at(key), where_ + "." + key}; }
  const nlohmann::json& list(const char* key) const {
    if (!at(key).is_array()) fail("{}: \"{}\" must be a list", where_, key);
    return at(key);
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) fail("{}: \"{}\" must be text", where_, key);
    return at(key).get<std::string>();
  }
  std::string text(const char* key, const char* fallback) const { return has(key) ? text(key) : fallback; }
  bool boolean(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!at(key).is_boolean()) fail("{}: \"{}\" must be true or false", where_, key);
    return at(key).get<bool>();
  }
  std::int64_t integer(const char* key) const {
    if (!at(key).is_number_integer()) fail("{}: \"{}\" must be an integer", where_, key);
    return at(key).get<std::int64_t>();
  }
  std::int64_t integer(const char* key, std::int64_t fallback) const { return has(key) ? integer(key) : fallback; }

  // For a component: what its "type" says. refuse() is for one that is not known.
  std::string type() const { return text("type"); }
  [[noreturn]] void refuse(std::string_view known) const {
    fail("{}: the type \"{}\" is not supported; supported are: {}", where_, type(), known);
  }

 private:
  const nlohmann::json& json_;
  std::string where_;
};

}  // namespace shardlora
