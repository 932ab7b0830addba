#include "data/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <optional>

#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/json_part.h"
#include "data/tokenizer/normalizer.h"

namespace shardlora {
namespace {

constexpr const char* kKnown =
    "Sequence, Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit, BertPreTokenizer, "
    "CharDelimiterSplit";
// The source of GPT-2's pattern: github.com/openai/gpt-2, src/encoder.py.
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

SplitBehavior behavior_of(const JsonPart& part, const char* fallback) {
  const std::string name = part.text("behavior", fallback);
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  fail("{}: the behavior \"{}\" is not known", part.where(), name);
}

struct Cut {
  TextRange range;
  bool is_match;
};

// The cuts of one word; together they are the word.
void cut(std::string_view word, const Pattern& pattern, bool invert, std::vector<Cut>& cuts) {
  cuts.clear();
  std::size_t last = 0;
  pattern.find_all(word, [&](std::size_t begin, std::size_t end) {
    if (last < begin) cuts.push_back({{last, begin}, invert});
    cuts.push_back({{begin, end}, !invert});  // also an empty one: it keeps its neighbours apart
    last = end;
  });
  if (last < word.size()) cuts.push_back({{last, word.size()}, invert});
}

// A match joins what is beside it, unless that is a match too.
void merge_matches(std::vector<Cut>& cuts, bool with_next) {
  if (with_next) std::reverse(cuts.begin(), cuts.end());
  std::size_t kept = 0;
  bool after_match = false;
  for (const Cut c : cuts) {
    if (c.is_match && !after_match && kept > 0) {
      TextRange& r = cuts[kept - 1].range;
      r = {std::min(r.begin, c.range.begin), std::max(r.end, c.range.end)};
    } else {
      cuts[kept++] = c;
    }
    after_match = c.is_match;
  }
  cuts.resize(kept);
  if (with_next) std::reverse(cuts.begin(), cuts.end());
}

void merge_alike(std::vector<Cut>& cuts) {
  std::size_t kept = 0;
  for (const Cut c : cuts) {
    if (kept > 0 && cuts[kept - 1].is_match == c.is_match)
      cuts[kept - 1].range.end = c.range.end;
    else
      cuts[kept++] = c;
  }
  cuts.resize(kept);
}

void split(Words& words, const Pattern& pattern, SplitBehavior behavior, bool invert) {
  std::vector<TextRange> out;
  std::vector<Cut> cuts;
  out.reserve(words.ranges.size());
  for (const TextRange& word : words.ranges) {
    cut(std::string_view(words.text.text()).substr(word.begin, word.end - word.begin), pattern, invert, cuts);
    if (behavior == SplitBehavior::kMergedWithPrevious || behavior == SplitBehavior::kMergedWithNext)
      merge_matches(cuts, behavior == SplitBehavior::kMergedWithNext);
    if (behavior == SplitBehavior::kContiguous) merge_alike(cuts);
    for (const Cut& c : cuts)
      if (c.range.begin < c.range.end && (!c.is_match || behavior != SplitBehavior::kRemoved))
        out.push_back({word.begin + c.range.begin, word.begin + c.range.end});
  }
  words.ranges = std::move(out);
}

// Rewrites every word by `word(rewrite, range)` and keeps what is between them.
template <typename Word>
void rewrite_words(Words& words, const Word& word) {
  Rewrite rewrite(words.text);
  std::size_t done = 0;
  for (TextRange& range : words.ranges) {
    rewrite.keep(done, range.begin);
    const std::size_t begin = rewrite.size();
    word(rewrite, range);
    done = range.end;
    range = {begin, rewrite.size()};
  }
  rewrite.keep(done, words.text.text().size());
  words.text = rewrite.done();
}

void spell_bytes(Words& words) {
  const ByteAlphabet& alphabet = ByteAlphabet::get();
  const std::string& text = words.text.text();
  rewrite_words(words, [&](Rewrite& rewrite, const TextRange& range) {
    for (std::size_t at = range.begin; at < range.end; ++at)
      rewrite.put(alphabet.spelling(static_cast<std::uint8_t>(text[at])), at, at + 1);
  });
}

void add_spaces(Words& words) {
  const std::string& text = words.text.text();
  rewrite_words(words, [&](Rewrite& rewrite, const TextRange& range) {
    if (text[range.begin] != ' ' && words.opens(range)) rewrite.put(" ", range.begin, range.begin);
    rewrite.keep(range.begin, range.end);
  });
}

}  // namespace

PreTokenizer PreTokenizer::of(const JsonPart& part) {
  PreTokenizer pre_tokenizer;
  pre_tokenizer.add(part);
  return pre_tokenizer;
}

void PreTokenizer::add(const JsonPart& part) {
  const std::string type = part.type();
  if (type == "Sequence") {
    for (const nlohmann::json& step : part.list("pretokenizers")) add({step, part.where()});
  } else if (type == "Split") {
    add_split(pattern_of(part), behavior_of(part, ""), part.boolean("invert", false));
  } else if (type == "ByteLevel") {
    add_byte_level(part.boolean("add_prefix_space", true), part.boolean("use_regex", true));
  } else if (type == "Metaspace") {
    add_metaspace(part);
  } else if (type == "Digits") {
    const bool individual = part.boolean("individual_digits", false);
    add_split(Pattern::one_of(CodePoints::numeric()),
              individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
  } else if (type == "Punctuation") {
    add_split(Pattern::one_of(CodePoints::punctuation()), behavior_of(part, "Isolated"));
  } else if (type == "WhitespaceSplit") {
    add_split(Pattern::one_of(CodePoints::white_space()), SplitBehavior::kRemoved);
  } else if (type == "Whitespace") {
    // \w+|[^\w\s]+ are the words.
    add_split(Pattern::one_of(CodePoints::white_space()), SplitBehavior::kRemoved);
    add_split(Pattern::one_of(CodePoints::plain_word()), SplitBehavior::kContiguous);
  } else if (type == "BertPreTokenizer") {
    add_split(Pattern::one_of(CodePoints::white_space()), SplitBehavior::kRemoved);
    add_split(Pattern::one_of(CodePoints::punctuation()), SplitBehavior::kIsolated);
  } else if (type == "CharDelimiterSplit") {
    add_split(Pattern::literal(part.text("delimiter")), SplitBehavior::kRemoved);
  } else {
    part.refuse(kKnown);
  }
}

void PreTokenizer::add_split(Pattern pattern, SplitBehavior behavior, bool invert) {
  steps_.emplace_back(
      [pattern = std::move(pattern), behavior, invert](Words& words) { split(words, pattern, behavior, invert); });
}

void PreTokenizer::add_byte_level(bool add_prefix_space, bool use_regex) {
  if (add_prefix_space) steps_.emplace_back(add_spaces);
  if (use_regex) add_split(Pattern::regex(kGpt2, "GPT-2"), SplitBehavior::kIsolated);
  steps_.emplace_back(spell_bytes);
}

void PreTokenizer::add_metaspace(const JsonPart& part) {
  const std::string mark = part.text("replacement", "\u2581");
  std::string scheme = part.text("prepend_scheme", "always");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    fail("{}: the prepend_scheme \"{}\" is not known", part.where(), scheme);
  if (!part.boolean("add_prefix_space", true)) scheme = "never";
  steps_.emplace_back([=](Words& words) {
    const std::string& text = words.text.text();
    rewrite_words(words, [&](Rewrite& rewrite, const TextRange& range) {
      const bool wanted = scheme == "always" || (scheme == "first" && words.text.origin(range.begin) == 0);
      const bool marked = text[range.begin] == ' ' || text.compare(range.begin, mark.size(), mark) == 0;
      if (wanted && !marked && words.opens(range)) rewrite.put(mark, range.begin, range.begin);
      for (std::size_t at = range.begin; at < range.end; ++at) {
        if (text[at] == ' ')
          rewrite.put(mark, at, at + 1);
        else
          rewrite.keep(at, at + 1);
      }
    });
  });
  if (part.boolean("split", true)) add_split(Pattern::literal(mark), SplitBehavior::kMergedWithNext);
}

Words PreTokenizer::apply(AlignedText text, bool goes_on) const {
  Words words{std::move(text), {}, goes_on};
  if (!words.text.text().empty()) words.ranges.push_back({0, words.text.text().size()});
  for (const Step& step : steps_) step(words);
  return words;
}

}  // namespace shardlora
