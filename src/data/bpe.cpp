#include "data/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::size_t kShortWord = 48;  // symbols; up to here scanning for the best pair beats a queue

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

std::size_t spread(std::uint64_t pair) { return static_cast<std::size_t>((pair * 0x9E3779B97F4A7C15ULL) >> 20); }

}  // namespace

Bpe::Bpe(const std::array<std::int32_t, 256>& byte_ids, std::span<const Merge> merges) : byte_ids_(byte_ids) {
  slots_.resize(std::bit_ceil(merges.size() * 2 + 1));
  std::uint32_t rank = 0;
  for (const Merge& merge : merges) {
    const std::uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t at = spread(pair) & (slots_.size() - 1);
    while (slots_[at].pair != kNoPair && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
    DCHECK(slots_[at].pair == kNoPair, "merge {} is there twice", rank);
    slots_[at] = {pair, rank++, merge.merged};
  }
}

const Bpe::Slot* Bpe::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_of(left, right);
  for (std::size_t at = spread(pair) & (slots_.size() - 1); slots_[at].pair != kNoPair;
       at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].pair == pair) return &slots_[at];
  return nullptr;
}

void Bpe::encode(std::string_view word, std::vector<Symbol>& symbols) const {
  DCHECK(word.size() <= 0xFFFFFFFFULL, "a word of {} bytes", word.size());
  const std::size_t first = symbols.size();
  for (std::size_t i = 0; i < word.size(); ++i) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(word[i])];
    const auto at = static_cast<std::uint32_t>(i);
    if (id != kNoToken) symbols.push_back({id, at, at + 1});
  }
  if (symbols.size() - first <= kShortWord)
    merge_short(symbols, first);
  else
    merge_long(symbols, first);
}

// Keeps the merge of every symbol with the next one beside the symbols; a merge renews two of them.
void Bpe::merge_short(std::vector<Symbol>& symbols, std::size_t first) const {
  std::array<const Slot*, kShortWord> with_next{};
  std::size_t count = symbols.size() - first;
  Symbol* s = symbols.data() + first;
  for (std::size_t i = 0; i + 1 < count; ++i) with_next[i] = find(s[i].id, s[i + 1].id);
  while (count > 1) {
    std::size_t best = count;
    for (std::size_t i = 0; i + 1 < count; ++i)
      if (with_next[i] != nullptr && (best == count || with_next[i]->rank < with_next[best]->rank)) best = i;
    if (best == count) break;
    s[best] = {with_next[best]->merged, s[best].begin, s[best + 1].end};
    --count;
    for (std::size_t i = best + 1; i < count; ++i) s[i] = s[i + 1], with_next[i] = with_next[i + 1];
    if (best + 1 < count) with_next[best] = find(s[best].id, s[best + 1].id);
    if (best > 0) with_next[best - 1] = find(s[best - 1].id, s[best].id);
  }
  symbols.resize(first + count);
}

// A queue of candidate merges over a doubly linked list of symbols. A candidate is stale when one of its two symbols
// has changed since; ids tell, because a symbol that merged has another id and one that was swallowed has none.
void Bpe::merge_long(std::vector<Symbol>& symbols, std::size_t first) const {
  struct Candidate {
    std::uint32_t rank, at;
    std::int32_t left, right, merged;
    bool operator<(const Candidate& other) const {  // std::priority_queue pops the greatest
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  constexpr std::uint32_t kNone = 0xFFFFFFFFU;
  const auto count = static_cast<std::uint32_t>(symbols.size() - first);
  Symbol* s = symbols.data() + first;
  std::vector<std::uint32_t> previous(count), next(count);
  for (std::uint32_t i = 0; i < count; ++i)
    previous[i] = i == 0 ? kNone : i - 1, next[i] = i + 1 < count ? i + 1 : kNone;

  std::priority_queue<Candidate> queue;
  const auto consider = [&](std::uint32_t i) {
    if (i == kNone || next[i] == kNone) return;
    const Symbol &left = s[i], &right = s[next[i]];
    if (const Slot* slot = find(left.id, right.id)) queue.push({slot->rank, i, left.id, right.id, slot->merged});
  };
  for (std::uint32_t i = 0; i < count; ++i) consider(i);
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    const std::uint32_t i = top.at, j = next[i];
    if (s[i].id != top.left || j == kNone || s[j].id != top.right) continue;
    s[i] = {top.merged, s[i].begin, s[j].end};
    s[j].id = kNoToken;
    next[i] = next[j];
    if (next[i] != kNone) previous[next[i]] = i;
    consider(i);
    consider(previous[i]);
  }
  std::size_t kept = first;
  for (std::uint32_t i = 0; i < count; ++i)
    if (s[i].id != kNoToken) symbols[kept++] = s[i];
  symbols.resize(kept);
}

}  // namespace shardlora
