#include "data/tokenizer/regex_alphabet.h"

#include <algorithm>
#include <map>
#include <variant>

#include "base/error.h"
#include "base/utf8.h"

namespace shardlora {
namespace {

constexpr int kMaxNesting = 60;
constexpr std::uint32_t kMaxRepeats = 1000;
constexpr std::size_t kMaxSets = 1024;

// The pattern as it is put together: text for PCRE2, and sets of characters that become classes of bytes at the end.
struct Parts {
  std::vector<std::variant<std::string, std::size_t>> items;  // text, or the number of a set
  std::vector<CodePoints> sets;

  std::size_t set(const CodePoints& points) {
    const auto at = static_cast<std::size_t>(std::find(sets.begin(), sets.end(), points) - sets.begin());
    if (at == sets.size()) sets.push_back(points);
    return at;
  }
  void text(std::string s) { items.emplace_back(std::move(s)); }
  void one_of(const CodePoints& points) { items.emplace_back(set(points)); }
};

class Parser {
 public:
  Parser(std::string_view regex, std::string_view what) : regex_(regex), what_(what) {
    for (std::size_t at = 0; at < regex.size();) {
      const Character c = character_at(regex, at);
      characters_.push_back(c.code_point);
      at += c.length;
    }
  }

  Parts parse() {
    alternatives({});
    if (!at_end()) refuse("a closing parenthesis too many");
    if (parts_.sets.size() > kMaxSets) refuse("it is too large");
    return std::move(parts_);
  }

 private:
  struct Flags {
    bool ignore_case = false, dot_is_all = false;
  };

  [[noreturn]] void refuse(const std::string& reason) const {
    fail("{}: the pattern \"{}\", character {}: {}", what_, regex_.substr(0, 200), at_, reason);
  }
  bool at_end() const { return at_ == characters_.size(); }
  bool sees(char c) const { return !at_end() && characters_[at_] == static_cast<unsigned char>(c); }
  bool takes(char c) {
    if (!sees(c)) return false;
    ++at_;
    return true;
  }
  bool takes(std::string_view word) {
    if (word.size() > characters_.size() - at_) return false;
    for (std::size_t i = 0; i < word.size(); ++i)
      if (characters_[at_ + i] != static_cast<unsigned char>(word[i])) return false;
    at_ += word.size();
    return true;
  }
  std::uint32_t next() {
    if (at_end()) refuse("it ends too early");
    return characters_[at_++];
  }

  void alternatives(Flags flags) {
    if (++depth_ > kMaxNesting) refuse(fmt::format("nested deeper than {}", kMaxNesting));
    bool first = true;
    while (!at_end() && !sees(')')) {
      if (takes('|'))
        parts_.text("|");
      else if (first && takes("(?i)"))
        flags.ignore_case = true;
      else
        repeated(flags);
      first = false;
    }
    --depth_;
  }

  // An atom and its repetitions. Ruby reads x{2}+ as (x{2})+ and x{2}? as (x{2})?, PCRE2 does not.
  void repeated(Flags flags) {
    const std::size_t begin = parts_.items.size();
    atom(flags);
    for (bool again = false;; again = true) {
      std::string times;
      bool braces = false;
      if (takes('*'))
        times = "*";
      else if (takes('+'))
        times = "+";
      else if (takes('?'))
        times = "?";
      else if (braces = interval(times); !braces)
        return;
      if (again) {
        parts_.items.insert(parts_.items.begin() + static_cast<std::ptrdiff_t>(begin), "(?:");
        parts_.text(")");
      }
      parts_.text(times);
      if (!braces && (sees('?') || sees('+')))
        parts_.text(std::string(1, static_cast<char>(next())));
      else if (braces && fixed_interval_is_next_lazy(times)) {
      }
    }
  }

  // {n,m}? is lazy, {n}? is not.
  bool fixed_interval_is_next_lazy(const std::string& times) {
    if (times.find(',') == std::string::npos || !takes('?')) return false;
    parts_.text("?");
    return true;
  }

  bool interval(std::string& times) {
    if (!sees('{')) return false;
    const std::size_t begin = at_++;
    const auto number = [&](std::string& digits) {
      while (!at_end() && characters_[at_] >= '0' && characters_[at_] <= '9' && digits.size() < 6)
        digits += static_cast<char>(next());
    };
    std::string low, high;
    number(low);
    const bool comma = takes(',');
    if (comma) number(high);
    if (!takes('}') || (low.empty() && high.empty())) {  // a brace like any character
      at_ = begin;
      return false;
    }
    for (const std::string& n : {low, high})
      if (!n.empty() && std::stoul(n) > kMaxRepeats) refuse(fmt::format("repeated more than {} times", kMaxRepeats));
    times = "{" + (low.empty() ? "0" : low) + (comma ? "," + high : "") + "}";
    return true;
  }

  void one_of(const CodePoints& set, Flags flags) { parts_.one_of(flags.ignore_case ? set.with_other_cases() : set); }

  void atom(Flags flags) {
    static const CodePoints newline('\n', '\n');
    const std::uint32_t c = next();
    if (c == '(')
      group(flags);
    else if (c == '[')
      parts_.one_of(bracket(flags));
    else if (c == '.')
      parts_.one_of(flags.dot_is_all ? CodePoints(0, CodePoints::kCount - 1) : newline.complement());
    else if (c == '^')
      around("(?:(?<=", newline, ")(?!\\z)|\\A)");
    else if (c == '$')
      around("(?:(?=", newline, ")|\\z)");
    else if (c == '\\')
      escape(flags);
    else if (c == '*' || c == '+' || c == '?')
      refuse("nothing to repeat");
    else
      one_of(CodePoints(c, c), flags);
  }

  void around(const char* before, const CodePoints& set, const char* after) {
    parts_.text(before);
    parts_.one_of(set);
    parts_.text(after);
  }

  void group(Flags flags) {
    if (takes("?#")) {
      while (next() != ')') {
      }
      parts_.text("(?:)");
      return;
    }
    for (const char* kind : {"?:", "?=", "?!", "?<=", "?<!", "?>"})
      if (takes(kind)) return finish_group(std::string("(") + kind, flags);
    if (takes("?<")) {  // a name, which nothing can refer to
      while (next() != '>') {
      }
      return finish_group("(?:", flags);
    }
    if (!takes('?')) return finish_group("(?:", flags);
    bool value = true;
    while (!takes(':')) {
      const std::uint32_t c = next();
      if (c == '-')
        value = false;
      else if (c == 'i')
        flags.ignore_case = value;
      else if (c == 'm')
        flags.dot_is_all = value;
      else
        refuse("only the groups (...), (?:...), (?=...), (?!...), (?<=...), (?<!...), (?>...), (?i:...) are supported");
    }
    finish_group("(?:", flags);
  }

  void finish_group(const std::string& open, Flags flags) {
    parts_.text(open);
    alternatives(flags);
    if (!takes(')')) refuse("a group is not closed");
    parts_.text(")");
  }

  void escape(Flags flags) {
    const std::uint32_t c = next();
    static const CodePoints newline('\n', '\n');
    if (c == 'A')
      parts_.text("\\A");
    else if (c == 'z')
      parts_.text("\\z");
    else if (c == 'Z')
      around("(?=", newline, "?\\z)");
    else if (c == 'b' || c == 'B') {
      const char* const yes = c == 'b' ? "(?=" : "(?!";
      const char* const no = c == 'b' ? "(?!" : "(?=";
      around("(?:(?<=", CodePoints::word(), ")");
      around(no, CodePoints::word(), ")|(?<!");
      parts_.one_of(CodePoints::word());
      parts_.text(")");
      around(yes, CodePoints::word(), "))");
    } else {
      CodePoints set;
      if (named_set(c, set))
        parts_.one_of(set);  // letter case never splits a named set's members in the patterns that there are
      else
        one_of(literal(c), flags);
    }
  }

  // \s, \p{L}: what may also stand inside brackets.
  bool named_set(std::uint32_t c, CodePoints& set) {
    static const CodePoints hex = CodePoints('0', '9') | CodePoints('a', 'f') | CodePoints('A', 'F');
    switch (c) {
      case 's':
      case 'S': set = CodePoints::white_space(); break;
      case 'w':
      case 'W': set = CodePoints::word(); break;
      case 'd':
      case 'D': set = *CodePoints::named("Nd"); break;
      case 'h':
      case 'H': set = hex; break;
      case 'p':
      case 'P': set = property(); break;
      default: return false;
    }
    if (c == 'S' || c == 'W' || c == 'D' || c == 'H' || c == 'P') set = set.complement();
    return true;
  }

  CodePoints property() {
    if (!takes('{')) refuse("\\p needs a name in braces");
    const bool negated = takes('^');
    std::string name;
    while (!takes('}')) {
      const std::uint32_t c = next();
      name += c < 0x80 ? static_cast<char>(c) : '?';
    }
    const CodePoints* set = CodePoints::named(name);
    if (set == nullptr) refuse(fmt::format("\\p{{{}}} is not supported", name));
    return negated ? set->complement() : *set;
  }

  CodePoints literal(std::uint32_t c) {
    switch (c) {
      case 't': return {'\t', '\t'};
      case 'n': return {'\n', '\n'};
      case 'r': return {'\r', '\r'};
      case 'f': return {'\f', '\f'};
      case 'v': return {'\v', '\v'};
      case 'a': return {'\a', '\a'};
      case 'e': return {0x1B, 0x1B};
      case 'x': return takes('{') ? hexadecimal(1, 8, true) : hexadecimal(1, 2, false);
      case 'u': return hexadecimal(4, 4, false);
      default: break;
    }
    const bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter_or_digit) refuse(fmt::format("\\{} is not supported", static_cast<char>(c)));
    return {c, c};
  }

  CodePoints hexadecimal(int least, int most, bool braces) {
    std::uint32_t value = 0;
    int digits = 0;
    for (; digits < most && !at_end(); ++digits, ++at_) {
      const std::uint32_t c = characters_[at_], lower = c | 0x20;
      if (c >= '0' && c <= '9')
        value = value * 16 + (c - '0');
      else if (lower >= 'a' && lower <= 'f')
        value = value * 16 + (lower - 'a' + 10);
      else
        break;
    }
    if (digits < least || (braces && !takes('}')) || value >= CodePoints::kCount) refuse("not a hexadecimal character");
    if (most == 2 && value >= 0x80) refuse("\\x of a byte that is no character by itself; write \\x{...}");
    return {value, value};
  }

  // After '['. && binds loosest, ^ applies to everything.
  CodePoints bracket(Flags flags) {
    if (++depth_ > kMaxNesting) refuse(fmt::format("nested deeper than {}", kMaxNesting));
    const bool negated = takes('^');
    CodePoints all(0, CodePoints::kCount - 1), set;
    bool first = true;
    while (first || !sees(']')) {
      if (takes("&&")) {
        all = all & set;
        set = {};
      } else {
        set = set | bracket_item(flags);
      }
      first = false;
    }
    next();
    all = all & set;
    if (flags.ignore_case) all = all.with_other_cases();
    --depth_;
    return negated ? all.complement() : all;
  }

  CodePoints bracket_item(Flags flags) {
    if (takes("[:")) return posix();
    if (takes('[')) return bracket(flags);
    CodePoints low;
    const std::uint32_t c = next();
    if (c == '\\') {
      const std::uint32_t escaped = next();
      // Inside brackets Oniguruma's \w lacks the superscripts and fractions of Latin-1.
      if (escaped == 'w') return CodePoints::word() & latin1_numbers().complement();
      if (escaped == 'W') return CodePoints::word().complement() | latin1_numbers();
      if (named_set(escaped, low)) return low;
      low = escaped == 'b' ? CodePoints('\b', '\b') : literal(escaped);
    } else {
      low = {c, c};
    }
    // A minus before the end of the brackets, or before a set, stands for itself.
    if (!sees('-') || at_ + 1 >= characters_.size() || characters_[at_ + 1] == ']' || characters_[at_ + 1] == '[')
      return low;
    ++at_;
    const std::uint32_t d = next();
    const CodePoints high = d == '\\' ? literal(next()) : CodePoints(d, d);
    if (high.ranges()[0].first < low.ranges()[0].first) refuse("a range that ends before it begins");
    return {low.ranges()[0].first, high.ranges()[0].first};
  }

  static const CodePoints& latin1_numbers() {
    static const CodePoints set = CodePoints(0xB2, 0xB3) | CodePoints(0xB9, 0xB9) | CodePoints(0xBC, 0xBE);
    return set;
  }

  CodePoints posix() {
    const bool negated = takes('^');
    std::string name;
    while (!takes(":]")) name += static_cast<char>(next() & 0x7FU);
    CodePoints set;
    if (name == "digit")
      set = *CodePoints::named("Nd");
    else if (name == "space")
      set = CodePoints::white_space();
    else if (name == "word")
      set = CodePoints::word();
    else
      refuse(fmt::format("[:{}:] is not supported", name));
    return negated ? set.complement() : set;
  }

  std::string_view regex_, what_;
  std::vector<std::uint32_t> characters_;
  std::size_t at_ = 0;
  int depth_ = 0;
  Parts parts_;
};

// Numbers the kinds of code points: two are of one kind if every set holds both or neither.
class Kinds {
 public:
  Kinds(const std::vector<CodePoints>& sets, std::string_view what) : bytes_(CodePoints::kCount), of_set_(sets.size()) {
    std::vector<std::pair<std::uint32_t, std::size_t>> turns;  // where a set begins or ends
    for (std::size_t s = 0; s < sets.size(); ++s)
      for (const CodePoints::Range& r : sets[s].ranges()) turns.insert(turns.end(), {{r.first, s}, {r.last + 1, s}});
    std::sort(turns.begin(), turns.end());
    std::map<std::vector<bool>, std::uint8_t> kinds;
    std::vector<bool> inside(sets.size());
    std::uint32_t begin = 0;
    const auto run = [&](std::uint32_t end) {
      if (begin == end) return;
      const auto [kind, is_new] = kinds.emplace(inside, static_cast<std::uint8_t>(kinds.size()));
      if (kinds.size() > 256) fail("{}: a pattern tells more than 256 kinds of characters apart", what);
      for (std::size_t s = 0; is_new && s < sets.size(); ++s)
        if (inside[s]) of_set_[s].push_back(kind->second);
      std::fill(bytes_.begin() + begin, bytes_.begin() + end, kind->second);
      begin = end;
    };
    for (const auto& [at, set] : turns) {
      run(at);
      inside[set] = !inside[set];
    }
    run(CodePoints::kCount);
  }

  std::string class_of(std::size_t set) const {
    const std::vector<std::uint8_t>& kinds = of_set_[set];
    if (kinds.empty()) return "(?!)";
    std::string text = kinds.size() > 1 ? "[" : "";
    for (const std::uint8_t kind : kinds) text += fmt::format("\\x{:02x}", kind);
    return text + (kinds.size() > 1 ? "]" : "");
  }
  std::vector<std::uint8_t> bytes() && { return std::move(bytes_); }

 private:
  std::vector<std::uint8_t> bytes_;
  std::vector<std::vector<std::uint8_t>> of_set_;
};

RegexAlphabet assemble(const Parts& parts, std::string_view what) {
  Kinds kinds(parts.sets, what);
  RegexAlphabet out;
  for (const auto& item : parts.items)
    out.pattern += item.index() == 0 ? std::get<0>(item) : kinds.class_of(std::get<1>(item));
  out.bytes = std::move(kinds).bytes();
  return out;
}

}  // namespace

RegexAlphabet RegexAlphabet::of(std::string_view regex, std::string_view what) {
  if (regex.size() > kMaxPattern) fail("{}: a pattern of {} bytes, at most {}", what, regex.size(), kMaxPattern);
  return assemble(Parser(regex, what).parse(), what);
}

RegexAlphabet RegexAlphabet::of(const CodePoints& set) {
  Parts parts;
  parts.one_of(set);
  return assemble(parts, "a set");
}

}  // namespace shardlora
