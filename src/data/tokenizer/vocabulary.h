// The tokens of a model, by id and by spelling. Ids may have holes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace shardlora {

class Vocabulary {
 public:
  static constexpr std::int64_t kMaxSize = std::int64_t{4} << 20;

  // `what` opens the texts of errors. A token or an id that is there already, and an id out of range, are Errors.
  void add(std::string token, std::int64_t id, std::string_view what);

  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }  // the greatest id + 1
  bool has(std::int32_t id) const { return id >= 0 && id < size() && there_[static_cast<std::size_t>(id)] != 0; }
  const std::string& token(std::int32_t id) const { return tokens_[static_cast<std::size_t>(id)]; }  // "" for a hole
  std::optional<std::int32_t> id_of(std::string_view token) const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::vector<std::string> tokens_;
  std::vector<std::uint8_t> there_;
  std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> ids_;
};

}  // namespace shardlora
