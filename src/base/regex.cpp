#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/regex.h"

#include <pcre2.h>

#include <array>

#include "base/error.h"

namespace shardlora {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
// Names are short: what needs more than this tries them in too many ways.
constexpr std::uint32_t kMatchLimit = 1'000'000;

using Match = std::unique_ptr<pcre2_match_data, Freed<pcre2_match_data_free>>;

PCRE2_SPTR bytes(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Regex::Compiled {
  std::unique_ptr<pcre2_code, Freed<pcre2_code_free>> code;
  std::unique_ptr<pcre2_match_context, Freed<pcre2_match_context_free>> limits{pcre2_match_context_create(nullptr)};
  std::string what, pattern;

  // Null without a match.
  Match match(std::string_view text, std::uint32_t options) const {
    Match match(pcre2_match_data_create_from_pattern(code.get(), nullptr));
    CHECK(match, "no memory for a match");
    const int found = pcre2_match(code.get(), bytes(text), text.size(), 0, options, match.get(), limits.get());
    if (found == PCRE2_ERROR_NOMATCH) return nullptr;
    if (found < 0)
      fail("{}: the regular expression \"{}\" takes too long on \"{}\"; write it more simply", what, pattern, text);
    return match;
  }
};

Regex::Regex(std::string_view pattern, std::string_view what) {
  int error = 0;
  PCRE2_SIZE at = 0;
  auto compiled = std::make_shared<Compiled>();
  pcre2_set_match_limit(compiled->limits.get(), kMatchLimit);
  compiled->what = what;
  compiled->pattern = pattern;
  compiled->code.reset(
      pcre2_compile(bytes(pattern), pattern.size(), PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr));
  if (!compiled->code) {
    std::array<PCRE2_UCHAR, 200> reason{};
    pcre2_get_error_message(error, reason.data(), reason.size());
    fail("{}: \"{}\" is no regular expression: {} at character {}", what, pattern,
         reinterpret_cast<const char*>(reason.data()), at + 1);
  }
  compiled_ = std::move(compiled);
}

bool Regex::matches(std::string_view text) const { return compiled_->match(text, PCRE2_ENDANCHORED) != nullptr; }

std::optional<std::string> Regex::group(std::string_view text, const char* name) const {
  const Match match = compiled_->match(text, 0);
  if (!match) return std::nullopt;
  const int number = pcre2_substring_number_from_name(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(name));
  CHECK(number > 0, "{} has no group {}", compiled_->pattern, name);
  const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(match.get()) + 2 * static_cast<std::size_t>(number);
  if (ends[0] == PCRE2_UNSET) return std::nullopt;
  return std::string(text.substr(ends[0], ends[1] - ends[0]));
}

}  // namespace shardlora
