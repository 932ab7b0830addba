// Values as text: Python's str and repr, and json.dumps.
#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "data/template/value.h"

namespace shardlora {
namespace {

std::string number_text(double number, bool json) {
  if (std::isnan(number)) return json ? "NaN" : "nan";
  if (std::isinf(number)) return std::string(number < 0 ? "-" : "") + (json ? "Infinity" : "inf");
  std::string text = fmt::format("{}", number);  // shortest that reads back, exponents where Python has them
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

bool printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

void append_repr_text(Text& out, const Text& text) {
  const bool doubles = text.bytes().find('\'') != std::string::npos && text.bytes().find('"') == std::string::npos;
  const char quote = doubles ? '"' : '\'';
  const Origin edge = text.origin_at(0);
  out.append(std::string(1, quote), edge);
  for (const TextCharacter& c : characters(text.bytes())) {
    const Origin origin = text.origin_at(c.begin);
    if (c.code == static_cast<char32_t>(quote) || c.code == '\\')
      out.append(fmt::format("\\{}", static_cast<char>(c.code)), origin);
    else if (c.code == '\n' || c.code == '\r' || c.code == '\t')
      out.append(c.code == '\n' ? "\\n" : c.code == '\r' ? "\\r" : "\\t", origin);
    else if (!printable(c.code))
      out.append(c.code < 0x100     ? fmt::format("\\x{:02x}", static_cast<unsigned>(c.code))
                 : c.code < 0x10000 ? fmt::format("\\u{:04x}", static_cast<unsigned>(c.code))
                                    : fmt::format("\\U{:08x}", static_cast<unsigned>(c.code)),
                 origin);
    else
      out.append_slice(text, c.begin, c.end);
  }
  out.append(std::string(1, quote), edge);
}

void append_repr(Text& out, const Value& value);

void append_str(Text& out, const Value& value) {
  if (const Text* text = value.as<Text>())
    out.append(*text);
  else
    append_repr(out, value);
}

void append_repr(Text& out, const Value& value) {
  if (value.is_undefined()) return;
  if (value.is_none()) return out.append("None", {});
  if (const bool* b = value.as<bool>()) return out.append(*b ? "True" : "False", {});
  if (const auto* i = value.as<std::int64_t>()) return out.append(std::to_string(*i), {});
  if (const double* d = value.as<double>()) return out.append(number_text(*d, false), {});
  if (const Text* text = value.as<Text>()) return append_repr_text(out, *text);
  if (const List* list = value.as<List>()) {
    out.append(list->tuple ? "(" : "[", list->origin);
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      if (i > 0) out.append(", ", list->origin);
      append_repr(out, list->items[i]);
    }
    if (list->tuple && list->items.size() == 1) out.append(",", list->origin);
    return out.append(list->tuple ? ")" : "]", list->origin);
  }
  if (const Dict* dict = value.as<Dict>()) {
    out.append("{", dict->origin);
    for (std::size_t i = 0; i < dict->items.size(); ++i) {
      if (i > 0) out.append(", ", dict->origin);
      append_repr(out, dict->items[i].first);
      out.append(": ", dict->origin);
      append_repr(out, dict->items[i].second);
    }
    return out.append("}", dict->origin);
  }
  fault("a ", value.type_name(), " cannot be printed");
}

void append_json_text(Text& out, const Text& text, const JsonStyle& style) {
  const Origin edge = text.origin_at(0);
  out.append("\"", edge);
  for (const TextCharacter& c : characters(text.bytes())) {
    const Origin origin = text.origin_at(c.begin);
    const auto code = static_cast<unsigned>(c.code);
    switch (c.code) {
      case '"': out.append("\\\"", origin); break;
      case '\\': out.append("\\\\", origin); break;
      case '\n': out.append("\\n", origin); break;
      case '\r': out.append("\\r", origin); break;
      case '\t': out.append("\\t", origin); break;
      case '\b': out.append("\\b", origin); break;
      case '\f': out.append("\\f", origin); break;
      default:
        if (code < 0x20 || (style.ascii && code > 0x7E && code < 0x10000))
          out.append(fmt::format("\\u{:04x}", code), origin);
        else if (style.ascii && code >= 0x10000)
          out.append(
              fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)),
              origin);
        else
          out.append_slice(text, c.begin, c.end);
    }
  }
  out.append("\"", edge);
}

class JsonWriter {
 public:
  JsonWriter(Text& out, const JsonStyle& style) : out_(out), style_(style) {}

  void write(const Value& value, int level) {
    if (value.is_none()) return out_.append("null", {});
    if (const bool* b = value.as<bool>()) return out_.append(*b ? "true" : "false", {});
    if (const auto* i = value.as<std::int64_t>()) return out_.append(std::to_string(*i), {});
    if (const double* d = value.as<double>()) return out_.append(number_text(*d, true), {});
    if (const Text* text = value.as<Text>()) return append_json_text(out_, *text, style_);
    if (const List* list = value.as<List>()) return write_list(*list, level);
    if (const Dict* dict = value.as<Dict>()) return write_dict(*dict, level);
    fault("a ", value.type_name(), " cannot be written as JSON");
  }

 private:
  void write_list(const List& list, int level) {
    if (list.items.empty()) return out_.append("[]", list.origin);
    out_.append("[", list.origin);
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      separate(i, level + 1, list.origin);
      write(list.items[i], level + 1);
    }
    new_line(level, list.origin);
    out_.append("]", list.origin);
  }

  void write_dict(const Dict& dict, int level) {
    if (dict.items.empty()) return out_.append("{}", dict.origin);
    std::vector<std::pair<Value, Value>> items = dict.items;
    if (style_.sort_keys)
      std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return less(a.first, b.first); });
    out_.append("{", dict.origin);
    for (std::size_t i = 0; i < items.size(); ++i) {
      separate(i, level + 1, dict.origin);
      write_key(items[i].first, dict.origin);
      out_.append(style_.key_separator, dict.origin);
      write(items[i].second, level + 1);
    }
    new_line(level, dict.origin);
    out_.append("}", dict.origin);
  }

  void write_key(const Value& key, Origin origin) {
    if (key.as<Text>() != nullptr) return append_json_text(out_, *key.as<Text>(), style_);
    Text word;  // json.dumps writes other keys as their words
    JsonWriter(word, style_).write(key, 0);
    out_.append("\"" + word.bytes() + "\"", origin);
  }

  void separate(std::size_t i, int level, Origin origin) {
    // With an indent, Python drops the blank after the comma.
    if (i > 0) out_.append(style_.indent >= 0 && style_.item_separator == ", " ? "," : style_.item_separator, origin);
    new_line(level, origin);
  }
  void new_line(int level, Origin origin) {
    if (style_.indent >= 0)
      out_.append("\n" + std::string(static_cast<std::size_t>(style_.indent * level), ' '), origin);
  }

  Text& out_;
  const JsonStyle& style_;
};

}  // namespace

Text to_text(const Value& value) {
  if (const Text* text = value.as<Text>()) return *text;
  Text out;
  append_str(out, value);
  return out;
}

Text to_repr(const Value& value) {
  Text out;
  append_repr(out, value);
  return out;
}

Text to_json(const Value& value, const JsonStyle& style) {
  Text out;
  JsonWriter(out, style).write(value, 0);
  return out;
}

}  // namespace shardlora
