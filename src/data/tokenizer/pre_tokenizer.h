// Cuts text into the words that BPE may not merge across: "pre_tokenizer" of tokenizer.json, or what the name in a GGUF
// file's `tokenizer.ggml.pre` stands for. Immutable and cheap to copy.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/aligned_text.h"
#include "data/tokenizer/pattern.h"

namespace shardlora {

class JsonPart;

struct TextRange {
  std::size_t begin, end;
};

// Words are ranges of a text, ascending; what lies between two of them is in no word.
struct Words {
  AlignedText text;
  std::vector<TextRange> ranges;
  bool goes_on = false;  // other text comes right before it, so nothing is put in front of the first word
  bool opens(const TextRange& word) const { return !goes_on || word.begin > 0; }
};

// What becomes of the matches of a pattern that text is split at.
enum class SplitBehavior : std::uint8_t { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

class PreTokenizer {
 public:
  PreTokenizer() = default;  // the whole text is one word
  // An unknown type is an Error that lists the known ones.
  static PreTokenizer of(const JsonPart& part);

  // invert: the matches are the text between the pattern's matches.
  void add_split(Pattern pattern, SplitBehavior behavior, bool invert = false);
  // Spells bytes in GPT-2's alphabet, after a cut by GPT-2's pattern where it is asked for.
  void add_byte_level(bool add_prefix_space, bool use_regex);

  Words apply(AlignedText text, bool goes_on = false) const;

 private:
  using Step = std::function<void(Words&)>;
  void add(const JsonPart& part);
  void add_metaspace(const JsonPart& part);
  std::vector<Step> steps_;
};

}  // namespace shardlora
