#include "data/template/lexer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "data/template/value.h"

namespace shardlora {
namespace {

using Kind = TemplateToken::Kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// lstrip_blocks: a tag loses the blanks between the start of its line and itself.
std::string_view without_indent(std::string_view text, bool line_starting) {
  const std::size_t newline = text.rfind('\n');
  if (newline == std::string_view::npos && !line_starting) return text;
  const std::size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
  const bool blank = std::all_of(text.begin() + static_cast<std::ptrdiff_t>(line_begin), text.end(), is_space);
  return blank ? text.substr(0, line_begin) : text;
}

class Lexer {
 public:
  Lexer(std::string_view source, int& line) : source_(source), line_(line) {}

  std::vector<TemplateToken> run() {
    while (at_ < source_.size()) read_text_and_tag();
    add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  bool starts_with(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  void advance(std::size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  // Text up to the next tag, cut as the tag's signs say, then the tag.
  void read_text_and_tag() {
    std::size_t tag = at_;
    while ((tag = source_.find('{', tag)) != std::string_view::npos) {
      const char next = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    const bool line_starting = at_ == 0 || source_[at_ - 1] == '\n';
    if (tag == std::string_view::npos) {
      add(Kind::kText, std::string(source_.substr(at_)));
      return advance(source_.size());
    }
    std::string_view text = source_.substr(at_, tag - at_);
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    const bool variable = source_[tag + 1] == '{';
    if (sign == '-') {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    } else if (sign != '+' && !variable) {
      text = without_indent(text, line_starting);
    }
    if (!text.empty()) add(Kind::kText, std::string(text));
    advance(tag);
    const std::size_t body = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
    if (source_[tag + 1] == '#') return skip_comment(body);
    if (!variable && read_raw(body)) return;
    advance(body);
    add(variable ? Kind::kVariableBegin : Kind::kBlockBegin, "");
    read_inside(variable);
  }

  // After the end of a tag: what "-" and trim_blocks take away. `at_` is behind the closing brace.
  void trim_after(char sign, bool block) {
    std::size_t to = at_;
    if (sign == '-') {
      while (to < source_.size() && is_space(source_[to])) ++to;
    } else if (block && sign != '+' && to < source_.size() && source_[to] == '\n') {
      ++to;
    }
    advance(to);
  }

  void skip_comment(std::size_t body) {
    const std::size_t end = source_.find("#}", body);
    if (end == std::string_view::npos) fault("a comment is not closed with #}");
    const char sign = end > body ? source_[end - 1] : '\0';
    advance(end + 2);
    trim_after(sign == '-' || sign == '+' ? sign : '\0', true);
  }

  std::size_t skip_spaces(std::size_t i) const {
    while (i < source_.size() && is_space(source_[i])) ++i;
    return i;
  }

  // {% name %} at `i` (behind its opening): where it ends, or npos; `sign` is the sign before its end.
  std::size_t plain_tag(std::size_t i, std::string_view name, char& sign) const {
    i = skip_spaces(i);
    if (!source_.substr(i).starts_with(name)) return std::string_view::npos;
    i = skip_spaces(i + name.size());
    sign = i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i] : '\0';
    if (sign != '\0') ++i;
    return source_.substr(i).starts_with("%}") ? i + 2 : std::string_view::npos;
  }

  bool read_raw(std::size_t body) {
    char sign = '\0';
    const std::size_t begin = plain_tag(body, "raw", sign);
    if (begin == std::string_view::npos) return false;
    advance(begin);
    trim_after(sign, false);  // trim_blocks leaves raw text alone
    const bool line_starting = source_[at_ - 1] == '\n';
    for (std::size_t tag = at_; (tag = source_.find("{%", tag)) != std::string_view::npos; tag += 2) {
      const char open = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      const std::size_t end = plain_tag(tag + 2 + (open == '-' || open == '+' ? 1 : 0), "endraw", sign);
      if (end == std::string_view::npos) continue;
      std::string_view text = source_.substr(at_, tag - at_);
      if (open == '-') {
        while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
      } else if (open != '+') {
        text = without_indent(text, line_starting);
      }
      add(Kind::kText, std::string(text));
      advance(end);
      trim_after(sign, true);
      return true;
    }
    fault("{% raw %} is not closed with {% endraw %}");
  }

  void read_inside(bool variable) {
    const std::string_view close = variable ? "}}" : "%}";
    int open_braces = 0;  // a }} that closes two dicts is no end of a tag
    while (true) {
      advance(skip_spaces(at_));
      if (at_ >= source_.size()) fault("a tag is not closed with ", std::string(close));
      const char sign = starts_with("-") || starts_with("+") ? source_[at_] : '\0';
      const bool signed_end = sign != '\0' && !(variable && sign == '+') && source_.substr(at_ + 1).starts_with(close);
      if (open_braces == 0 && (signed_end || starts_with(close))) {
        add(variable ? Kind::kVariableEnd : Kind::kBlockEnd, "");
        advance(at_ + close.size() + (signed_end ? 1 : 0));
        return trim_after(signed_end ? sign : '\0', !variable);
      }
      read_token(open_braces);
    }
  }

  void read_token(int& open_braces) {
    const char c = source_[at_];
    if (is_name_start(c)) return take(Kind::kName, [](char n) { return is_name_start(n) || is_digit(n); });
    if (is_digit(c)) return read_number();
    if (c == '\'' || c == '"') return read_string(c);
    constexpr std::array<std::string_view, 25> kOperators{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*",
                                                          "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                                          "]",  "{",  "}",  "|",  ",",  ".",  ":"};
    for (const std::string_view op : kOperators) {
      if (!starts_with(op)) continue;
      if (op == "{") ++open_braces;
      if (op == "}" && open_braces-- == 0) fault("unexpected '}'");
      add(Kind::kOperator, std::string(op));
      return advance(at_ + op.size());
    }
    fault("unexpected character '", std::string(1, c), "' in a tag");
  }

  template <typename Belongs>
  void take(Kind kind, Belongs belongs) {
    std::size_t end = at_;
    while (end < source_.size() && belongs(source_[end])) ++end;
    add(kind, std::string(source_.substr(at_, end - at_)));
    advance(end);
  }

  void read_number() {
    std::size_t end = at_;
    std::string digits;
    const auto take_digits = [&] {
      while (end < source_.size() && (is_digit(source_[end]) || source_[end] == '_')) {
        if (source_[end] != '_') digits += source_[end];
        ++end;
      }
    };
    take_digits();
    Kind kind = Kind::kInteger;
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
      kind = Kind::kFloat;
      digits += source_[end++];
      take_digits();
    }
    std::size_t exponent = end;
    if (exponent < source_.size() && (source_[exponent] == 'e' || source_[exponent] == 'E')) {
      ++exponent;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      if (exponent < source_.size() && is_digit(source_[exponent])) {
        kind = Kind::kFloat;
        digits += source_.substr(end, exponent - end);
        end = exponent;
        take_digits();
      }
    }
    add(kind, digits);
    advance(end);
  }

  void read_string(char quote) {
    std::string value;
    std::size_t i = at_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\') {
        value += source_[i];
        continue;
      }
      if (++i >= source_.size()) break;
      i = read_escape(i, value);
    }
    if (i >= source_.size()) fault("a string is not closed with ", std::string(1, quote));
    add(Kind::kString, std::move(value));
    advance(i + 1);
  }

  // Python's escapes. `i` is the character behind the backslash; returns the last one that belongs to the escape.
  std::size_t read_escape(std::size_t i, std::string& value) const {
    switch (const char c = source_[i]) {
      case 'n': value += '\n'; return i;
      case 't': value += '\t'; return i;
      case 'r': value += '\r'; return i;
      case 'a': value += '\a'; return i;
      case 'b': value += '\b'; return i;
      case 'f': value += '\f'; return i;
      case 'v': value += '\v'; return i;
      case '\\':
      case '\'':
      case '"': value += c; return i;
      case '\n': return i;
      case 'x': return read_code(i, 2, value);
      case 'u': return read_code(i, 4, value);
      case 'U': return read_code(i, 8, value);
      default:
        if (c >= '0' && c <= '7') return read_octal(i, value);
        value += '\\';
        value += c;
        return i;
    }
  }

  std::size_t read_octal(std::size_t i, std::string& value) const {
    char32_t code = 0;
    std::size_t digits = 0;
    for (; digits < 3 && i + digits < source_.size() && source_[i + digits] >= '0' && source_[i + digits] <= '7';
         ++digits)
      code = code * 8 + static_cast<char32_t>(source_[i + digits] - '0');
    append_utf8(value, code);
    return i + digits - 1;
  }

  std::size_t read_code(std::size_t i, std::size_t digits, std::string& value) const {
    char32_t code = 0;
    for (std::size_t d = 1; d <= digits; ++d) {
      const char c = i + d < source_.size() ? source_[i + d] : '\0';
      const int digit = is_digit(c)            ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0)
        fault("an escape \\", std::string(1, source_[i]), " needs ", std::to_string(digits), " hexadecimal digits");
      code = code * 16 + static_cast<char32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fault("an escape that is no character");
    append_utf8(value, code);
    return i + digits;
  }

  std::string_view source_;
  int& line_;
  std::size_t at_ = 0;
  std::vector<TemplateToken> tokens_;
};

}  // namespace

std::vector<TemplateToken> tokens_of_template(const std::string& source, int& line) {
  // Jinja reads every kind of line end as \n and drops one at the end of the file.
  std::string text;
  for (std::size_t i = 0; i < source.size(); ++i) {
    const bool carriage_return = source[i] == '\r';
    if (carriage_return && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += carriage_return ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  line = 1;
  return Lexer(text, line).run();
}

}  // namespace shardlora
