// Byte-level byte-pair encoding (Sennrich et al. 2016; bytes as in GPT-2): a word starts as its bytes, then the pair of
// neighbours with the lowest rank, leftmost first, becomes one symbol until no pair has a rank.
// O(n log n) in the word's length, so a document without a word boundary does not hang.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace shardlora {

struct Symbol {
  std::int32_t id;
  std::uint32_t begin, end;  // bytes of the word
};

class Bpe {
 public:
  struct Merge {
    std::int32_t left, right, merged;  // ids; the rank is the position in the list
  };
  static constexpr std::int32_t kNoToken = -1;

  // A byte whose id is kNoToken vanishes from every word, as in `tokenizers`. A pair may occur once in `merges`.
  Bpe(const std::array<std::int32_t, 256>& byte_ids, std::span<const Merge> merges);

  // Appends the word's symbols, in order. At most 4 GiB - 1 bytes.
  void encode(std::string_view word, std::vector<Symbol>& symbols) const;

 private:
  struct Slot {
    std::uint64_t pair = kNoPair;
    std::uint32_t rank = 0;
    std::int32_t merged = 0;
  };
  static constexpr std::uint64_t kNoPair = ~0ULL;

  const Slot* find(std::int32_t left, std::int32_t right) const;
  void merge_short(std::vector<Symbol>& symbols, std::size_t first) const;
  void merge_long(std::vector<Symbol>& symbols, std::size_t first) const;

  std::array<std::int32_t, 256> byte_ids_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
};

}  // namespace shardlora
