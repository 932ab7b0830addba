#include "data/tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "base/error.h"
#include "base/utf8.h"

namespace shardlora {
namespace {

constexpr std::size_t kShortWord = 48;            // symbols; up to here scanning for the best pair beats a queue
constexpr std::string_view kWordMark = "\u2581";  // what SentencePiece writes for a space

std::uint64_t pair_of(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

std::size_t spread(std::uint64_t pair) { return static_cast<std::size_t>((pair * 0x9E3779B97F4A7C15ULL) >> 20); }

}  // namespace

Bpe::Bpe(std::shared_ptr<const Vocabulary> vocabulary, std::vector<std::uint8_t> usable, std::span<const Merge> merges,
         const BpeOptions& options)
    : vocabulary_(std::move(vocabulary)), usable_(std::move(usable)), options_(options) {
  CHECK(usable_.size() == static_cast<std::size_t>(vocabulary_->size()), "{} flags for {} tokens", usable_.size(),
        vocabulary_->size());
  for (std::int32_t id = 0; id < vocabulary_->size(); ++id) {
    const std::string& token = vocabulary_->token(id);
    if (token.empty() || usable_[static_cast<std::size_t>(id)] == 0) continue;
    const Character c = character_at(token, 0);
    if (!c.valid || c.length != token.size()) continue;
    if (c.code_point >= character_ids_.size()) character_ids_.resize(c.code_point + 1, kNoToken);
    character_ids_[c.code_point] = id;
  }
  for (std::size_t b = 0; b < 256; ++b) byte_ids_[b] = usable_id(fmt::format("<0x{:02X}>", b));
  cut_at_word_marks_ = !merges_cross_word_marks(merges);

  slots_.resize(std::bit_ceil(merges.size() * 2 + 1));
  for (const Merge& merge : merges) {
    if (usable_[static_cast<std::size_t>(merge.merged)] == 0) continue;
    const std::uint64_t pair = pair_of(merge.left, merge.right);
    std::size_t at = spread(pair) & (slots_.size() - 1);
    while (slots_[at].pair != kNoPair && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {pair, merge.rank, merge.merged};
  }
}

// True too where the mark is not a token by itself, so that it might fuse with what else is not.
bool Bpe::merges_cross_word_marks(std::span<const Merge> merges) const {
  if (usable_id(kWordMark) == kNoToken) return true;
  return std::any_of(merges.begin(), merges.end(), [&](const Merge& merge) {
    return vocabulary_->token(merge.right).starts_with(kWordMark) &&
           !vocabulary_->token(merge.left).ends_with(kWordMark);
  });
}

std::int32_t Bpe::usable_id(std::string_view token) const {
  const auto id = vocabulary_->id_of(token);
  return id && usable_[static_cast<std::size_t>(*id)] != 0 ? *id : kNoToken;
}

const Bpe::Slot* Bpe::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_of(left, right);
  for (std::size_t at = spread(pair) & (slots_.size() - 1); slots_[at].pair != kNoPair;
       at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].pair == pair) return &slots_[at];
  return nullptr;
}

void Bpe::encode(std::string_view word, std::vector<Symbol>& symbols) const {
  CHECK(word.size() <= 0xFFFFFFFFULL, "a word of {} bytes", word.size());
  if (options_.ignore_merges) {
    if (const std::int32_t id = usable_id(word); id != kNoToken) {
      symbols.push_back({id, 0, static_cast<std::uint32_t>(word.size())});
      return;
    }
  }
  std::size_t from = 0;
  // Text that was not cut into words at all is cut here, where it changes nothing but the time.
  for (std::size_t mark = 1; cut_at_word_marks_ && (mark = word.find(kWordMark, mark)) != word.npos;
       mark += kWordMark.size()) {
    if (word.substr(0, mark).ends_with(kWordMark)) continue;
    encode_part(word, from, mark, symbols);
    from = mark;
  }
  encode_part(word, from, word.size(), symbols);
}

void Bpe::encode_part(std::string_view word, std::size_t from, std::size_t to, std::vector<Symbol>& symbols) const {
  const std::string_view part = word.substr(from, to - from);
  const bool cached = part.size() <= WordCache::kLongestWord;
  const std::size_t first = symbols.size();
  if (!cached || !cache_->find(part, symbols)) {
    characters(part, symbols);
    if (symbols.size() - first <= kShortWord)
      merge_short(symbols, first);
    else
      merge_long(symbols, first);
    if (cached) cache_->insert(part, symbols.data() + first, symbols.data() + symbols.size());
  }
  for (std::size_t i = first; from > 0 && i < symbols.size(); ++i)
    symbols[i].begin += static_cast<std::uint32_t>(from), symbols[i].end += static_cast<std::uint32_t>(from);
}

void Bpe::characters(std::string_view part, std::vector<Symbol>& symbols) const {
  bool unknown_before = false;
  for (std::size_t i = 0; i < part.size();) {
    const Character c = character_at(part, i);
    const auto begin = static_cast<std::uint32_t>(i), end = begin + c.length;
    i += c.length;
    const std::int32_t id = c.code_point < character_ids_.size() ? character_ids_[c.code_point] : kNoToken;
    const auto byte_id = [&](std::uint32_t at) { return byte_ids_[static_cast<unsigned char>(part[at])]; };
    const auto all_bytes_are_there = [&] {
      for (std::uint32_t at = begin; at < end; ++at)
        if (byte_id(at) == kNoToken) return false;
      return true;
    };
    if (id != kNoToken) {
      symbols.push_back({id, begin, end});
    } else if (options_.byte_fallback && all_bytes_are_there()) {
      for (std::uint32_t at = begin; at < end; ++at) symbols.push_back({byte_id(at), at, at + 1});
    } else if (options_.unknown) {
      if (unknown_before && options_.fuse_unknown)
        symbols.back().end = end;
      else
        symbols.push_back({*options_.unknown, begin, end});
      unknown_before = true;
      continue;
    }
    unknown_before = false;
  }
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
