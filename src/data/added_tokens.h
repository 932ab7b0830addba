// Tokens that are matched in the text before any other cutting: control tokens (<|im_start|>) and those a user added.
// The leftmost match wins, at one place the longest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace shardlora {

class AddedTokens {
 public:
  static constexpr std::size_t kMaxBytes = 256;  // of one token: bounds the work per byte of text

  struct Match {
    std::int32_t id;
    std::size_t begin, end;
  };

  // `token` has 1 to kMaxBytes bytes.
  void add(std::string token, std::int32_t id, bool is_control);

  // The first match at or after `from`. Control tokens need may_be_control[byte] != 0 on all their bytes; an empty span
  // allows them everywhere.
  std::optional<Match> find(std::string_view text, std::size_t from,
                            std::span<const std::uint8_t> may_be_control) const;

 private:
  struct Entry {
    std::int32_t id;
    bool is_control;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::optional<Match> match_at(std::string_view text, std::size_t at,
                                std::span<const std::uint8_t> may_be_control) const;

  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> entries_;
  std::vector<std::size_t> lengths_[256];  // by first byte: the lengths that occur, longest first
};

}  // namespace shardlora
