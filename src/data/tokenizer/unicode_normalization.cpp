#include "data/tokenizer/unicode_normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "data/tokenizer/code_points.h"

namespace shardlora {
namespace {

using Codes = std::vector<utf8proc_int32_t>;

bool is_compatible(NormalizationForm form) {
  return form == NormalizationForm::kNFKC || form == NormalizationForm::kNFKD;
}
bool is_composed(NormalizationForm form) { return form == NormalizationForm::kNFC || form == NormalizationForm::kNFKC; }

// 0 also for marks that the package's tables do not know yet.
int combining_class(utf8proc_int32_t c) {
  const int of_utf8proc = utf8proc_get_property(c)->combining_class;
  return of_utf8proc != 0 && CodePoints::normalised().contains(static_cast<std::uint32_t>(c)) ? of_utf8proc : 0;
}

void decompose(utf8proc_int32_t c, bool compatible, Codes& out) {
  std::array<utf8proc_int32_t, 32> buffer{};  // the longest decomposition has 18
  int boundary = 0;
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0));
  const utf8proc_ssize_t n =
      utf8proc_decompose_char(c, buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()), options, &boundary);
  CHECK(n >= 0 && n <= static_cast<utf8proc_ssize_t>(buffer.size()), "U+{:X} decomposes into {}", c, n);
  out.insert(out.end(), buffer.begin(), buffer.begin() + n);
}

// What a character may do in a form.
enum Role : std::uint8_t {
  kInert = 0,
  kChanges = 1,     // alone it becomes something else
  kContinues = 2,   // it may be reordered with, or composed into, what is before it
  kTakenApart = 4,  // it has a decomposition, which marks after it may get into
};

std::vector<std::uint8_t> make_roles(NormalizationForm form) {
  const CodePoints& known = CodePoints::normalised();
  std::vector<std::uint8_t> roles(CodePoints::kCount, kInert);
  const auto mark = [&](utf8proc_int32_t c, Role role) {
    roles[static_cast<std::size_t>(c)] = static_cast<std::uint8_t>(roles[static_cast<std::size_t>(c)] | role);
  };
  for (const CodePoints::Range& range : known.ranges()) {
    for (auto c = static_cast<utf8proc_int32_t>(range.first); c <= static_cast<utf8proc_int32_t>(range.last); ++c) {
      Codes codes;
      decompose(c, is_compatible(form), codes);
      if (codes.size() != 1 || codes[0] != c) mark(c, kTakenApart);
      if (combining_class(c) != 0 || combining_class(codes[0]) != 0) mark(c, kContinues);
      if (codes.size() > 1 && is_composed(form) && known.contains(static_cast<std::uint32_t>(c))) {
        Codes canonical;
        decompose(c, false, canonical);
        if (canonical.size() > 1) mark(canonical.back(), kContinues);  // the second half of a composition
      }
      if (is_composed(form))
        codes.resize(static_cast<std::size_t>(
            utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()),
                                     static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE))));
      if (codes.size() != 1 || codes[0] != c) mark(c, kChanges);
    }
  }
  if (is_composed(form))  // Hangul's vowels and final consonants compose by arithmetic
    for (utf8proc_int32_t c = 0x1161; c <= 0x11C2; ++c)
      if (c <= 0x1175 || c >= 0x11A8) mark(c, kContinues);
  return roles;
}

const std::vector<std::uint8_t>& roles_in(NormalizationForm form) {
  static const std::vector<std::uint8_t> nfc = make_roles(NormalizationForm::kNFC);
  if (form == NormalizationForm::kNFC) return nfc;
  static const std::vector<std::uint8_t> others[] = {
      make_roles(NormalizationForm::kNFD), make_roles(NormalizationForm::kNFKC), make_roles(NormalizationForm::kNFKD)};
  return others[static_cast<std::size_t>(form) - 1];
}

// Canonical order: marks between two starters sorted by their class, those of one class as they came.
void reorder(Codes& codes) {
  for (auto begin = codes.begin(); begin != codes.end();) {
    if (combining_class(*begin) == 0) {
      ++begin;
      continue;
    }
    const auto end = std::find_if(begin, codes.end(), [](utf8proc_int32_t c) { return combining_class(c) == 0; });
    std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

}  // namespace

AlignedText normalized(const AlignedText& aligned, NormalizationForm form) {
  const std::vector<std::uint8_t>& roles = roles_in(form);
  const std::string& text = aligned.text();
  const auto role = [&](std::uint32_t c) { return c < 0xA0 ? std::uint8_t{kInert} : roles[c]; };

  // The first character that takes part in anything: most texts have none.
  std::size_t at = 0, before = 0;
  for (; at < text.size();) {
    const Character c = character_at(text, at);
    if ((role(c.code_point) & (kChanges | kContinues)) != 0) break;
    before = at;
    at += c.length;
  }
  if (at >= text.size()) return aligned;

  Rewrite rewrite(aligned);
  Codes codes;
  std::string utf8;
  at = before;
  rewrite.keep(0, at);
  while (at < text.size()) {
    // A character, and those after it that may join it.
    const std::size_t begin = at;
    std::uint32_t any = 0, count = 0;
    codes.clear();
    do {
      const Character c = character_at(text, at);
      if (count > 0 && (role(c.code_point) & kContinues) == 0) break;
      any |= role(c.code_point);
      const auto code_point = static_cast<utf8proc_int32_t>(c.code_point);
      if ((role(c.code_point) & kTakenApart) != 0)
        decompose(code_point, is_compatible(form), codes);
      else
        codes.push_back(code_point);
      at += c.length;
      ++count;
    } while (at < text.size());
    if (count == 1 && (any & kChanges) == 0) {
      rewrite.keep(begin, at);
      continue;
    }
    reorder(codes);
    auto size = static_cast<utf8proc_ssize_t>(codes.size());
    if (is_composed(form))
      size = utf8proc_normalize_utf32(codes.data(), size,
                                      static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    CHECK(size >= 0, "utf8proc: {}", size);
    utf8.clear();
    for (utf8proc_ssize_t i = 0; i < size; ++i) {
      std::array<utf8proc_uint8_t, 4> bytes{};
      const utf8proc_ssize_t n = utf8proc_encode_char(codes[static_cast<std::size_t>(i)], bytes.data());
      utf8.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(n));
    }
    rewrite.put(utf8, begin, at);
  }
  return rewrite.done();
}

}  // namespace shardlora
