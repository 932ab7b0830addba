// Remembers what words became: natural text repeats few of them most of the time. Bounded; any number of threads may
// use it, and none waits for another: a part that is in use counts as empty.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace shardlora {

struct Symbol {
  std::int32_t id;
  std::uint32_t begin, end;  // bytes of the word
};

class WordCache {
 public:
  static constexpr std::size_t kLongestWord = 64;  // bytes; longer ones seldom come again

  // Appends what the word became, if it is known.
  bool find(std::string_view word, std::vector<Symbol>& symbols) const {
    const Part& part = part_of(word);
    const std::unique_lock lock(part.mutex, std::try_to_lock);
    if (!lock) return false;
    const auto found = part.words.find(word);
    if (found == part.words.end()) return false;
    symbols.insert(symbols.end(), found->second.begin(), found->second.end());
    return true;
  }
  void insert(std::string_view word, const Symbol* begin, const Symbol* end) {
    Part& part = part_of(word);
    const std::unique_lock lock(part.mutex, std::try_to_lock);
    if (!lock) return;
    if (part.words.size() == kWordsOfPart) part.words.clear();
    part.words.emplace(std::string(word), std::vector<Symbol>(begin, end));
  }

 private:
  static constexpr std::size_t kParts = 64, kWordsOfPart = 1024;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  struct Part {
    mutable std::mutex mutex;
    std::unordered_map<std::string, std::vector<Symbol>, Hash, std::equal_to<>> words;
  };
  Part& part_of(std::string_view word) const { return (*parts_)[Hash{}(word) >> 8 & (kParts - 1)]; }
  std::unique_ptr<std::array<Part, kParts>> parts_ = std::make_unique<std::array<Part, kParts>>();
};

}  // namespace shardlora
