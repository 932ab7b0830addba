#include "data/tokenizer/code_points.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <unordered_map>

#include "base/ascii.h"

namespace shardlora {
namespace {

using Range = CodePoints::Range;
using Ranges = std::vector<Range>;

// clang-format off
enum Category : std::uint8_t {
  kLu, kLl, kLt, kLm, kLo, kMn, kMc, kMe, kNd, kNl, kNo, kPc, kPd, kPs, kPe,
  kPi, kPf, kPo, kSm, kSc, kSk, kSo, kZs, kZl, kZp, kCc, kCf, kCo, kCn,
};
constexpr const char* kCategoryNames[] = {
  "lu", "ll", "lt", "lm", "lo", "mn", "mc", "me", "nd", "nl", "no", "pc", "pd", "ps", "pe",
  "pi", "pf", "po", "sm", "sc", "sk", "so", "zs", "zl", "zp", "cc", "cf", "co", "cn",
};
// clang-format on

struct CategoryRun {
  std::uint32_t first;  // and on, up to where the next run begins
  Category category;
};

// Written by scripts/generate_unicode_classes.py.
#include "data/tokenizer/unicode_tables.inc"

template <std::size_t N>
Ranges ranges_of(const Range (&table)[N]) {
  return {table, table + N};
}

void sort_and_join(Ranges& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::size_t kept = 0;
  for (const Range& r : ranges) {
    if (kept > 0 && r.first <= ranges[kept - 1].last + 1)
      ranges[kept - 1].last = std::max(ranges[kept - 1].last, r.last);
    else
      ranges[kept++] = r;
  }
  ranges.resize(kept);
}

std::map<std::string, Ranges> named_ranges() {
  std::map<std::string, Ranges> named;
  for (std::size_t i = 0; i < std::size(kCategoryRuns); ++i) {
    const std::uint32_t next = i + 1 < std::size(kCategoryRuns) ? kCategoryRuns[i + 1].first : CodePoints::kCount;
    const std::string name = kCategoryNames[kCategoryRuns[i].category];
    named[name].push_back({kCategoryRuns[i].first, next - 1});
    named[name.substr(0, 1)].push_back({kCategoryRuns[i].first, next - 1});
  }
  const std::pair<const char*, const char*> words[] = {
      {"letter", "l"},      {"uppercaseletter", "lu"}, {"lowercaseletter", "ll"},
      {"mark", "m"},        {"number", "n"},           {"decimalnumber", "nd"},
      {"punctuation", "p"}, {"symbol", "s"},           {"separator", "z"},
      {"other", "c"},       {"digit", "nd"},           {"control", "cc"}};
  for (const auto& [word, name] : words) named[word] = named[name];
  named["latin"] = ranges_of(kLatinRanges);
  named["greek"] = ranges_of(kGreekRanges);
  named["cyrillic"] = ranges_of(kCyrillicRanges);
  named["armenian"] = ranges_of(kArmenianRanges);
  named["hebrew"] = ranges_of(kHebrewRanges);
  named["arabic"] = ranges_of(kArabicRanges);
  named["devanagari"] = ranges_of(kDevanagariRanges);
  named["bengali"] = ranges_of(kBengaliRanges);
  named["thai"] = ranges_of(kThaiRanges);
  named["hangul"] = ranges_of(kHangulRanges);
  named["hiragana"] = ranges_of(kHiraganaRanges);
  named["katakana"] = ranges_of(kKatakanaRanges);
  named["bopomofo"] = ranges_of(kBopomofoRanges);
  named["han"] = ranges_of(kHanRanges);
  return named;
}

// Letters that are one another's other case share a key: 's', 'S' and U+017F.
std::uint32_t case_key(std::uint32_t c) {
  return static_cast<std::uint32_t>(utf8proc_tolower(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

const std::unordered_map<std::uint32_t, std::vector<std::uint32_t>>& letters_by_case_key() {
  static const auto letters = [] {
    std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> by_key;
    for (std::uint32_t c = 0; c < CodePoints::kCount; ++c)
      if (case_key(c) != c) by_key[case_key(c)].push_back(c);
    return by_key;
  }();
  return letters;
}

}  // namespace

CodePoints::CodePoints(std::vector<Range> ranges) : ranges_(std::move(ranges)) { sort_and_join(ranges_); }

const CodePoints* CodePoints::named(std::string_view name) {
  static const auto sets = [] {
    std::map<std::string, CodePoints> made;
    for (auto& [of, ranges] : named_ranges()) made.emplace(of, CodePoints(std::move(ranges)));
    return made;
  }();
  std::string plain;
  for (const char c : name)
    if (c != ' ' && c != '_' && c != '-') plain += to_lower(c);
  const auto found = sets.find(plain);
  return found == sets.end() ? nullptr : &found->second;
}

const CodePoints& CodePoints::white_space() {
  static const CodePoints set(ranges_of(kSpaceRanges));
  return set;
}

const CodePoints& CodePoints::word() {
  static const CodePoints set(ranges_of(kWordRanges));
  return set;
}

const CodePoints& CodePoints::plain_word() {
  static const CodePoints superscripts(Ranges{{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}});
  static const CodePoints set = (word() & superscripts.complement()) | CodePoints(0x200C, 0x200D);
  return set;
}

const CodePoints& CodePoints::numeric() {
  static const CodePoints set(ranges_of(kNumericRanges));
  return set;
}

const CodePoints& CodePoints::punctuation() {
  static const CodePoints set(ranges_of(kPunctuationRanges));
  return set;
}

const CodePoints& CodePoints::normalised() {
  static const CodePoints set(ranges_of(kNormalisedRanges));
  return set;
}

bool CodePoints::contains(std::uint32_t code_point) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                                      [](std::uint32_t c, const Range& r) { return c < r.first; });
  return after != ranges_.begin() && code_point <= std::prev(after)->last;
}

CodePoints CodePoints::complement() const {
  CodePoints out;
  std::uint32_t next = 0;
  for (const Range& r : ranges_) {
    if (next < r.first) out.ranges_.push_back({next, r.first - 1});
    next = r.last + 1;
  }
  if (next < kCount) out.ranges_.push_back({next, kCount - 1});
  return out;
}

CodePoints CodePoints::with_other_cases() const {
  Ranges all = ranges_;
  for (const auto& [key, letters] : letters_by_case_key()) {
    if (!contains(key) && std::none_of(letters.begin(), letters.end(), [&](std::uint32_t c) { return contains(c); }))
      continue;
    all.push_back({key, key});
    for (const std::uint32_t c : letters) all.push_back({c, c});
  }
  return CodePoints(std::move(all));
}

CodePoints operator|(const CodePoints& a, const CodePoints& b) {
  Ranges all = a.ranges_;
  all.insert(all.end(), b.ranges_.begin(), b.ranges_.end());
  return CodePoints(std::move(all));
}

CodePoints operator&(const CodePoints& a, const CodePoints& b) {
  return (a.complement() | b.complement()).complement();
}

}  // namespace shardlora
