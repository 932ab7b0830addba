// Tokens that are matched in the text before any other cutting: control tokens (<|im_start|>) and those a user added.
// The leftmost match wins, at one place the longest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shardlora {

struct AddedToken {
  std::int32_t id = 0;
  bool is_control = false;
  bool single_word = false;             // matches only where no word character is beside it
  bool lstrip = false, rstrip = false;  // takes the white space on that side with it
};

class AddedTokens {
 public:
  static constexpr std::size_t kMaxBytes = 256;  // of one token: bounds the work per byte of text

  // `spelling` has 1 to kMaxBytes bytes.
  void add(std::string_view spelling, const AddedToken& token);
  bool empty() const { return nodes_.size() == 1; }

  // Cuts the text into matches and what is between them. Control tokens match only where may_be_control(begin, end).
  // matched(token, begin, end) and between(begin, end), where begin < end, are called from left to right.
  void cut(std::string_view text, const std::function<bool(std::size_t, std::size_t)>& may_be_control,
           const std::function<void(std::size_t, std::size_t)>& between,
           const std::function<void(const AddedToken&, std::size_t, std::size_t)>& matched) const;

 private:
  struct Node {
    std::map<unsigned char, std::uint32_t> next;
    std::int32_t token = -1;  // in tokens_
  };
  // The end of the longest match at `at`, and its token; nullptr where there is none.
  const AddedToken* longest(std::string_view text, std::size_t at, std::size_t& end,
                            const std::function<bool(std::size_t, std::size_t)>& may_be_control) const;

  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::array<std::uint32_t, 256> first_{};  // the root's children, 0 for none
  std::vector<AddedToken> tokens_;
};

}  // namespace shardlora
