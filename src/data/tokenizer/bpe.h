// Byte-pair encoding (Sennrich et al. 2016) as `tokenizers` does it: a word starts as its characters, then the pair of
// neighbours with the lowest rank, leftmost first, becomes one symbol until no pair has a rank.
// O(n log n) in the word's length, so a document without a word boundary does not hang.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "data/tokenizer/vocabulary.h"
#include "data/tokenizer/word_cache.h"

namespace shardlora {

struct BpeOptions {
  std::optional<std::int32_t> unknown;  // for a character that the vocabulary lacks; without it such vanish
  bool fuse_unknown = false;            // neighbours that it lacks become one token
  bool byte_fallback = false;           // before that, its bytes as <0x00> to <0xFF> where all of them are there
  bool ignore_merges = false;           // a word that is a token is that token, whatever the merges say
};

class Bpe {
 public:
  struct Merge {
    std::int32_t left, right, merged;  // ids
    std::uint32_t rank;
  };
  static constexpr std::int32_t kNoToken = -1;

  // Only ids with usable[id] != 0 come out of letters: not control tokens, not what was added beside the model's
  // vocabulary. Of merges of the same pair the last one counts, as in `tokenizers`.
  Bpe(std::shared_ptr<const Vocabulary> vocabulary, std::vector<std::uint8_t> usable, std::span<const Merge> merges,
      const BpeOptions& options);

  // Appends the word's symbols, in order. UTF-8, at most 4 GiB - 1 bytes.
  void encode(std::string_view word, std::vector<Symbol>& symbols) const;

 private:
  struct Slot {
    std::uint64_t pair = kNoPair;
    std::uint32_t rank = 0;
    std::int32_t merged = 0;
  };
  static constexpr std::uint64_t kNoPair = ~0ULL;

  bool merges_cross_word_marks(std::span<const Merge> merges) const;
  void encode_part(std::string_view word, std::size_t from, std::size_t to, std::vector<Symbol>& symbols) const;
  void characters(std::string_view part, std::vector<Symbol>& symbols) const;
  std::int32_t usable_id(std::string_view token) const;  // or kNoToken
  const Slot* find(std::int32_t left, std::int32_t right) const;
  void merge_short(std::vector<Symbol>& symbols, std::size_t first) const;
  void merge_long(std::vector<Symbol>& symbols, std::size_t first) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::vector<std::uint8_t> usable_;  // [id]
  BpeOptions options_;
  bool cut_at_word_marks_;                    // no merge crosses from another character to U+2581
  std::vector<std::int32_t> character_ids_;   // [code point]
  std::array<std::int32_t, 256> byte_ids_{};  // of <0x00> to <0xFF>
  std::vector<Slot> slots_;                   // open addressing, a power of two, at most half full
  std::shared_ptr<WordCache> cache_ = std::make_shared<WordCache>();
};

}  // namespace shardlora
