// Python's two ways to put values into a string. Formats of numbers beyond width, fill, sign and digits are faults.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/template/interpreter.h"

namespace shardlora {
namespace {

// [[fill]align][sign][0][width][.digits][kind], Python's format specification as far as templates go.
struct Spec {
  std::string fill = " ";
  char align = '\0', sign = '-', kind = '\0';
  std::size_t width = 0;
  std::optional<int> digits;
};

// A whole number of a specification at `at`, which moves behind it.
std::size_t number_at(std::string_view text, std::size_t& at) {
  constexpr std::size_t kMost = 10000;
  std::size_t number = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    number = number * 10 + static_cast<std::size_t>(text[at] - '0');
    if (number > kMost) fault("a format wider than ", std::to_string(kMost));
  }
  return number;
}

std::string digits_of(const Value& value, const Spec& spec) {
  std::int64_t whole = 0;
  double real = 0;
  const std::string kind = spec.kind == '\0' ? "" : std::string(1, spec.kind);
  const bool is_whole = value.to_whole(whole);
  if (spec.kind == 'd' || spec.kind == 'i' || spec.kind == 'x' || spec.kind == 'X' || spec.kind == 'o') {
    if (!is_whole && value.to_real(real) && std::abs(real) < 9e18)
      whole = static_cast<std::int64_t>(real);
    else if (!is_whole)
      fault("the format '", kind, "' needs a number, not a ", value.type_name());
    const auto magnitude = whole < 0 ? ~static_cast<std::uint64_t>(whole) + 1 : static_cast<std::uint64_t>(whole);
    const std::string text = spec.kind == 'x'   ? fmt::format("{:x}", magnitude)
                             : spec.kind == 'X' ? fmt::format("{:X}", magnitude)
                             : spec.kind == 'o' ? fmt::format("{:o}", magnitude)
                                                : fmt::format("{}", magnitude);
    return (whole < 0 ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign)) + text;
  }
  if (!value.to_real(real)) fault("the format '", kind, "' needs a number, not a ", value.type_name());
  const int digits = std::min(spec.digits.value_or(6), 100);
  const double size = std::abs(real);
  const std::string text = spec.kind == 'e'   ? fmt::format("{:.{}e}", size, digits)
                           : spec.kind == 'E' ? fmt::format("{:.{}E}", size, digits)
                           : spec.kind == 'g' ? fmt::format("{:.{}g}", size, digits)
                           : spec.kind == '%' ? fmt::format("{:.{}f}%", size * 100, digits)
                                              : fmt::format("{:.{}f}", size, digits);
  return (std::signbit(real) ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign)) + text;
}

bool is_number(const Value& value) {
  double ignored = 0;
  return value.to_real(ignored);
}

Text formatted(const Value& value, const Spec& spec) {
  Text text;
  const bool as_text = spec.kind == 's' || spec.kind == 'r' || spec.kind == '\0';
  if (!as_text) {
    text.append(digits_of(value, spec), {});
  } else {
    text = spec.kind == 'r' ? to_repr(value) : to_text(value);
    if (spec.digits && value.as<Text>() != nullptr) {
      const std::vector<TextCharacter> all = characters(text.bytes());
      const auto keep = static_cast<std::size_t>(*spec.digits);
      if (keep < all.size()) text = text.slice(0, all[keep].begin);
    }
  }
  const std::size_t size = characters(text.bytes()).size();
  if (size >= spec.width) return text;
  std::size_t missing = spec.width - size;
  const auto fill = [&](std::size_t count) {
    Text out;
    for (std::size_t i = 0; i < count; ++i) out.append(spec.fill, {});
    return out;
  };
  const char align = spec.align != '\0' ? spec.align : !as_text || is_number(value) ? '>' : '<';
  if (align == '=' && !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+' || text.bytes()[0] == ' ')) {
    Text out = text.slice(0, 1);
    out.append(fill(missing));
    out.append(text.slice(1, text.size()));
    return out;
  }
  const std::size_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  Text out = fill(before);
  out.append(text);
  out.append(fill(missing - before));
  return out;
}

Spec spec_of(std::string_view text) {
  Spec spec;
  std::size_t at = 0;
  const std::vector<TextCharacter> all = characters(text);
  const auto is_align = [&](std::size_t i) {
    return i < text.size() && (text[i] == '<' || text[i] == '>' || text[i] == '^' || text[i] == '=');
  };
  if (!all.empty() && is_align(all[0].end)) {
    spec.fill = std::string(text.substr(0, all[0].end));
    spec.align = text[all[0].end];
    at = all[0].end + 1;
  } else if (is_align(0)) {
    spec.align = text[at++];
  }
  if (at < text.size() && (text[at] == '+' || text[at] == '-' || text[at] == ' ')) spec.sign = text[at++];
  if (at < text.size() && text[at] == '0') {
    ++at;
    if (spec.align == '\0') spec.fill = "0", spec.align = '=';
  }
  spec.width = number_at(text, at);
  if (at < text.size() && text[at] == '.') spec.digits = static_cast<int>(number_at(text, ++at));
  if (at < text.size()) spec.kind = text[at++];
  if (at < text.size() || std::string_view("sdxXofFeEg%\0", 12).find(spec.kind) == std::string_view::npos)
    fault("the format '", std::string(text), "' is not supported");
  return spec;
}

}  // namespace

Text percent_format(const Text& format, const Value& values) {
  const std::string& bytes = format.bytes();
  const List* tuple = values.as<List>() != nullptr && values.as<List>()->tuple ? values.as<List>() : nullptr;
  const std::size_t count = tuple == nullptr ? 1 : tuple->items.size();
  std::size_t used = 0;
  bool by_name = false;
  Text out;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t mark = std::min(bytes.find('%', at), bytes.size());
    out.append_slice(format, at, mark);
    if (mark == bytes.size()) break;
    at = mark + 1;
    if (at < bytes.size() && bytes[at] == '%') {
      out.append_slice(format, at, at + 1);
      ++at;
      continue;
    }
    const Value* value = nullptr;
    if (at < bytes.size() && bytes[at] == '(') {
      const std::size_t close = bytes.find(')', at);
      if (values.as<Dict>() == nullptr || close == std::string::npos) fault("'%(name)s' needs a dict behind the '%'");
      const std::string name = bytes.substr(at + 1, close - at - 1);
      value = values.as<Dict>()->find(name);
      if (value == nullptr) fault("the dict behind the '%' has no '", name, "'");
      by_name = true;
      at = close + 1;
    }
    Spec spec;
    for (; at < bytes.size() && std::string_view("-+ 0#").find(bytes[at]) != std::string_view::npos; ++at) {
      if (bytes[at] == '-') spec.align = '<';
      if (bytes[at] == '+' || (bytes[at] == ' ' && spec.sign == '-')) spec.sign = bytes[at];
      if (bytes[at] == '0' && spec.align == '\0') spec.fill = "0", spec.align = '=';
    }
    if (spec.align == '<') spec.fill = " ";
    if (spec.align == '\0') spec.align = '>';
    spec.width = number_at(bytes, at);
    if (at < bytes.size() && bytes[at] == '.') spec.digits = static_cast<int>(number_at(bytes, ++at));
    spec.kind = at < bytes.size() ? bytes[at++] : '\0';
    if (std::string_view("sdixXofFeEgr").find(spec.kind) == std::string_view::npos)
      fault("a '%' in a format needs a letter such as s or d behind it");
    if (value == nullptr) {
      if (used == count) fault("more '%' in the format than values behind it");
      value = tuple == nullptr ? &values : &tuple->items[used];
      ++used;
    }
    out.append(formatted(*value, spec));
  }
  if (!by_name && used < count && (tuple != nullptr || values.as<Dict>() == nullptr))
    fault("fewer '%' in the format than values behind it");
  return out;
}

Text brace_format(Interpreter& interpreter, const Text& format, const Arguments& arguments) {
  const std::string& bytes = format.bytes();
  std::size_t next = 0;
  Text out;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t mark = std::min(bytes.find_first_of("{}", at), bytes.size());
    out.append_slice(format, at, mark);
    if (mark == bytes.size()) break;
    at = mark + 1;
    if (at < bytes.size() && bytes[at] == bytes[mark]) {
      out.append_slice(format, at, at + 1);
      ++at;
      continue;
    }
    const std::size_t close = bytes.find('}', at);
    if (bytes[mark] == '}' || close == std::string::npos) fault("a single '", bytes.substr(mark, 1), "' in a format");
    std::string field = bytes.substr(at, close - at);
    at = close + 1;
    Spec spec;
    if (const std::size_t colon = field.find(':'); colon != std::string::npos) {
      spec = spec_of(std::string_view(field).substr(colon + 1));
      field.resize(colon);
    }
    if (field.ends_with("!r")) spec.kind = 'r';
    if (field.ends_with("!r") || field.ends_with("!s")) field.resize(field.size() - 2);
    const std::size_t path = std::min(field.find_first_of(".["), field.size());
    if (path < field.size() && field.find('[') != std::string::npos) fault("'[' in a format is not supported");
    const std::string name = field.substr(0, path);
    const bool place = !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
    std::size_t start = 0;
    const std::size_t index = name.empty() ? next++ : place ? number_at(name, start) : arguments.positional.size();
    Value value = arguments.need(index, name);
    for (std::size_t i = path; i < field.size();) {
      const std::size_t end = std::min(field.find('.', i + 1), field.size());
      value = interpreter.attribute(value, field.substr(i + 1, end - i - 1));
      i = end;
    }
    out.append(formatted(value, spec));
  }
  return out;
}

}  // namespace shardlora
