#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/pre_tokenizer.h"

#include <pcre2.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "data/unicode_classes.h"
#include "data/utf8.h"

namespace shardlora {
namespace {

// The bytes that stand for characters beyond ASCII. They are members of the classes as the patterns below spell them,
// and no pattern names one of them by itself.
constexpr char kLetterByte = 'a', kNumberByte = '0', kSpaceByte = '\t', kOtherByte = '\x01';
constexpr std::uint32_t kMatchLimit = 1'000'000, kDepthLimit = 1'000;  // per word; the known patterns stay far below

struct Known {
  std::string_view name;
  bool isolate_digits;  // each numeric character is a word of its own, before the pattern sees the rest
  const char* pattern;  // over classes: \p{L} is [A-Za-z], \p{N} is [0-9], \s is [\t-\r ]
};
// The source of GPT-2's pattern: github.com/openai/gpt-2, src/encoder.py.
constexpr const char* kGpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\\t-\\r A-Za-z0-9]+|[\\t-\\r ]+(?![^\\t-\\r ])|[\\t-\\r ]+";
constexpr Known kKnown[] = {
    {"smollm", true, kGpt2},
    {"gpt-2", false, kGpt2},
};

char stand_in(const Character& c, std::uint8_t classes) {
  if (c.code_point < 0x80) return static_cast<char>(c.code_point);
  if (classes & kLetter) return kLetterByte;
  if (classes & kNumber) return kNumberByte;
  if (classes & kSpace) return kSpaceByte;
  return kOtherByte;
}

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using MatchData = std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>>;

}  // namespace

std::string known_pre_tokenizers() {
  std::string names;
  for (const Known& known : kKnown) names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
  return names;
}

struct PreTokenizer::Pattern {
  explicit Pattern(const Known& known) : isolate_digits(known.isolate_digits) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code.reset(
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(known.pattern), PCRE2_ZERO_TERMINATED, 0, &error, &at, nullptr));
    DCHECK(code != nullptr, "the pattern of {} does not compile at {}", known.name, at);
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT the interpreter gives the same matches
    context.reset(pcre2_match_context_create(nullptr));
    DCHECK(context != nullptr, "no memory for a match context");
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_depth_limit(context.get(), kDepthLimit);
  }

  // The end of the word that begins at `begin` of `classes`.
  std::size_t word_end(std::string_view classes, std::size_t begin, pcre2_match_data* match) const {
    const int found = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(classes.data()), classes.size(), begin,
                                  PCRE2_ANCHORED, match, context.get());
    if (found == PCRE2_ERROR_NOMATCH) return begin + 1;
    if (found < 0)
      fail("the tokenizer's pattern gave up on a word of the text (PCRE2 error {}); shorten the row", found);
    return std::max(static_cast<std::size_t>(pcre2_get_ovector_pointer(match)[1]), begin + 1);
  }

  std::unique_ptr<pcre2_code, Freed<pcre2_code_free>> code;
  std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>> context;
  bool isolate_digits;
};

PreTokenizer PreTokenizer::named(std::string_view name, std::string_view what) {
  for (const Known& known : kKnown)
    if (known.name == name) return PreTokenizer(std::make_shared<const Pattern>(known));
  fail("{}: the pre-tokenizer \"{}\" is not supported; supported are: {}", what, name, known_pre_tokenizers());
}

void PreTokenizer::split(std::string_view text, const std::function<void(std::size_t, std::size_t)>& word) const {
  const MatchData match(pcre2_match_data_create(1, nullptr));
  DCHECK(match != nullptr, "no memory for match data");
  std::string classes;               // one byte a character
  std::vector<std::size_t> offsets;  // of each of them in the text
  const auto cut = [&](std::size_t end) {
    offsets.push_back(end);
    for (std::size_t begin = 0; begin < classes.size();) {
      const std::size_t stop = pattern_->word_end(classes, begin, match.get());
      word(offsets[begin], offsets[stop]);
      begin = stop;
    }
    classes.clear(), offsets.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (!c.valid) fail("the text is not UTF-8 at byte {}; convert the file to UTF-8", at);
    const std::uint8_t of_character = classes_of(c.code_point);
    if (pattern_->isolate_digits && (of_character & kNumeric)) {
      cut(at);
      word(at, at + c.length);
    } else {
      classes.push_back(stand_in(c, of_character));
      offsets.push_back(at);
    }
    at += c.length;
  }
  cut(text.size());
}

}  // namespace shardlora
