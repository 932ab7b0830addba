#include "data/tokenizer/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "data/tokenizer/code_points.h"

namespace shardlora {
namespace {

// The character that ends before `at`.
std::uint32_t character_before(std::string_view text, std::size_t at) {
  std::size_t begin = at - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return character_at(text, begin).code_point;
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const CodePoints& word = CodePoints::plain_word();
  return (begin == 0 || !word.contains(character_before(text, begin))) &&
         (end == text.size() || !word.contains(character_at(text, end).code_point));
}

std::size_t space_begin(std::string_view text, std::size_t at) {
  while (at > 0) {
    std::size_t begin = at - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    if (!CodePoints::white_space().contains(character_at(text, begin).code_point)) break;
    at = begin;
  }
  return at;
}

std::size_t space_end(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const Character c = character_at(text, at);
    if (!CodePoints::white_space().contains(c.code_point)) break;
    at += c.length;
  }
  return at;
}

}  // namespace

void AddedTokens::add(std::string_view spelling, const AddedToken& token) {
  CHECK(!spelling.empty() && spelling.size() <= kMaxBytes, "an added token of {} bytes", spelling.size());
  std::uint32_t node = 0;
  for (const char c : spelling) {
    const auto next = static_cast<std::uint32_t>(nodes_.size());
    const auto [child, is_new] = nodes_[node].next.emplace(static_cast<unsigned char>(c), next);
    node = child->second;
    if (is_new) nodes_.emplace_back();
  }
  first_[static_cast<unsigned char>(spelling[0])] = nodes_[0].next.at(static_cast<unsigned char>(spelling[0]));
  nodes_[node].token = static_cast<std::int32_t>(tokens_.size());
  tokens_.push_back(token);
}

const AddedToken* AddedTokens::longest(std::string_view text, std::size_t at, std::size_t& end,
                                       const std::function<bool(std::size_t, std::size_t)>& may_be_control) const {
  const AddedToken* found = nullptr;
  for (std::uint32_t node = first_[static_cast<unsigned char>(text[at])], i = 1; node != 0; ++i) {
    if (nodes_[node].token >= 0) {
      const AddedToken& token = tokens_[static_cast<std::size_t>(nodes_[node].token)];
      if (!token.is_control || may_be_control(at, at + i)) found = &token, end = at + i;
    }
    if (at + i == text.size()) break;
    const auto next = nodes_[node].next.find(static_cast<unsigned char>(text[at + i]));
    node = next == nodes_[node].next.end() ? 0 : next->second;
  }
  return found;
}

void AddedTokens::cut(std::string_view text, const std::function<bool(std::size_t, std::size_t)>& may_be_control,
                      const std::function<void(std::size_t, std::size_t)>& between,
                      const std::function<void(const AddedToken&, std::size_t, std::size_t)>& matched) const {
  std::size_t done = 0;
  for (std::size_t at = 0; !empty() && at < text.size();) {
    std::size_t match_end = at;
    const AddedToken* token = longest(text, at, match_end, may_be_control);
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = match_end;
    at = match_end;  // also where an rstrip token reaches further, as in `tokenizers`
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip) begin = space_begin(text, begin);
    if (token->rstrip) end = space_end(text, end);
    begin = std::max(begin, done);
    end = std::max(end, begin);
    if (done < begin) between(done, begin);
    matched(*token, begin, end);
    done = end;
  }
  if (done < text.size()) between(done, text.size());
}

}  // namespace shardlora
