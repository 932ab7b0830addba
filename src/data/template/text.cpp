#include "data/template/text.h"

#include <algorithm>

#include "base/utf8.h"

namespace shardlora {

void Text::grow_run(std::size_t end, Origin origin) {
  if (end > kMaxBytes) fault("a text of more than ", std::to_string(kMaxBytes), " bytes");
  const std::size_t begin = runs_.empty() ? 0 : runs_.back().end;
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = end;
    return;
  }
  if (end == begin) {
    if (origin.kind != Origin::Kind::kContent) return;
    // One mark of a message at a place is enough, so that empty texts don't grow by being joined.
    const std::size_t last = runs_.size(), first = last - std::min(last, kMarksCompared);
    for (std::size_t i = last; i > first && runs_[i - 1].end == begin; --i) {
      if (runs_[i - 1].origin == origin) return;
    }
  }
  if (runs_.size() == kMaxRuns) fault("a text of more than ", std::to_string(kMaxRuns), " pieces");
  runs_.push_back({end, origin});
}

void Text::append(std::string_view bytes, Origin origin) {
  bytes_.append(bytes);
  grow_run(bytes_.size(), origin);
}

void Text::append_slice(const Text& other, std::size_t begin, std::size_t end) {
  // By offsets, so that a text can be appended to itself.
  const std::size_t start = bytes_.size();
  bytes_.append(other.bytes_, begin, end - begin);
  std::size_t run_begin = 0;
  for (std::size_t i = 0, count = other.runs_.size(); i < count; ++i) {
    const Run run = other.runs_[i];
    const std::size_t from = std::max(run_begin, begin), to = std::min(run.end, end);
    // `from == to` inside the slice: an empty mark, or the place where content was cut away.
    if (from <= to) grow_run(start + to - begin, run.origin);
    if (run.end > end) break;
    run_begin = run.end;
  }
}

Text Text::slice(std::size_t begin, std::size_t end) const {
  Text part;
  part.append_slice(*this, begin, end);
  part.markup_ = markup_;
  return part;
}

void Text::mark_generation(std::int32_t number) {
  for (Run& run : runs_) {
    if (run.origin.generation == 0) run.origin.generation = number;
  }
}

Origin Text::origin_at(std::size_t offset) const {
  for (const Run& run : runs_) {
    if (offset < run.end) return run.origin;
  }
  return runs_.empty() ? Origin{} : runs_.back().origin;
}

std::vector<TextCharacter> characters(std::string_view utf8) {
  std::vector<TextCharacter> out;
  out.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size();) {
    const Character c = character_at(utf8, i);
    out.push_back({i, i + c.length, c.code_point});
    i += c.length;
  }
  return out;
}

void append_utf8(std::string& out, char32_t code) {
  const auto byte = [&](char32_t value) { out += static_cast<char>(value); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) {
    byte(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      byte(0xE0 | code >> 12);
    } else {
      byte(0xF0 | code >> 18);
      byte(0x80 | (code >> 12 & 0x3F));
    }
    byte(0x80 | (code >> 6 & 0x3F));
  }
  byte(0x80 | (code & 0x3F));
}

// What str.isspace says: white space by category or by direction.
bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_blank(std::string_view utf8) {
  for (std::size_t i = 0; i < utf8.size();) {
    const Character c = character_at(utf8, i);
    if (!is_python_space(c.code_point)) return false;
    i += c.length;
  }
  return true;
}

}  // namespace shardlora
