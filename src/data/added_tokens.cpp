#include "data/added_tokens.h"

#include <algorithm>

#include "base/error.h"

namespace shardlora {

void AddedTokens::add(std::string token, std::int32_t id, bool is_control) {
  DCHECK(!token.empty() && token.size() <= kMaxBytes, "an added token of {} bytes", token.size());
  std::vector<std::size_t>& lengths = lengths_[static_cast<unsigned char>(token.front())];
  const auto place = std::lower_bound(lengths.begin(), lengths.end(), token.size(), std::greater<>{});
  if (place == lengths.end() || *place != token.size()) lengths.insert(place, token.size());
  entries_.insert_or_assign(std::move(token), Entry{id, is_control});
}

std::optional<AddedTokens::Match> AddedTokens::find(std::string_view text, std::size_t from,
                                                    std::span<const std::uint8_t> may_be_control) const {
  for (std::size_t at = from; at < text.size(); ++at)
    if (const auto match = match_at(text, at, may_be_control)) return match;
  return std::nullopt;
}

std::optional<AddedTokens::Match> AddedTokens::match_at(std::string_view text, std::size_t at,
                                                        std::span<const std::uint8_t> may_be_control) const {
  for (const std::size_t length : lengths_[static_cast<unsigned char>(text[at])]) {
    if (length > text.size() - at) continue;
    const auto found = entries_.find(text.substr(at, length));
    if (found == entries_.end()) continue;
    const auto allowed = [&] {
      const auto bytes = may_be_control.subspan(at, length);
      return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t flag) { return flag != 0; });
    };
    if (!found->second.is_control || may_be_control.empty() || allowed())
      return Match{found->second.id, at, at + length};
  }
  return std::nullopt;
}

}  // namespace shardlora
