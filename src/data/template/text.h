// The string of the template interpreter: bytes (UTF-8) that remember where they came from, through joining, cutting,
// trimming and replacing. What a message says leaves its mark even where nothing is left of it: an empty answer still
// has a place.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "data/template/origin.h"

namespace shardlora {

// What is wrong while a template runs; the line is added where it is caught.
class TemplateFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
template <typename... Args>
[[noreturn]] void fault(const Args&... parts) {
  std::string text;
  ((text += parts), ...);
  throw TemplateFault(text);
}

class Text {
 public:
  struct Run {
    std::size_t end;
    Origin origin;
  };

  Text() = default;
  Text(std::string_view bytes, Origin origin) { append(bytes, origin); }

  const std::string& bytes() const { return bytes_; }
  const std::vector<Run>& runs() const { return runs_; }
  bool empty() const { return bytes_.empty(); }
  std::size_t size() const { return bytes_.size(); }

  void append(std::string_view bytes, Origin origin);
  void append(const Text& other) { append_slice(other, 0, other.size()); }
  // What `| safe` and `| escape` gave: joined with + to another string, that one's HTML characters are escaped.
  bool markup() const { return markup_; }
  Text as_markup(bool markup = true) const {
    Text copy = *this;
    copy.markup_ = markup;
    return copy;
  }
  // Bytes [begin, end) of `other`.
  void append_slice(const Text& other, std::size_t begin, std::size_t end);
  Text slice(std::size_t begin, std::size_t end) const;
  // Marks everything as written by the {% generation %} block `number`; an inner block's mark stays.
  void mark_generation(std::int32_t number);
  // Of the byte at `offset`; the template's where there is none.
  Origin origin_at(std::size_t offset) const;

 private:
  static constexpr std::size_t kMaxBytes = std::size_t{128} << 20;  // what grows beyond is a fault
  static constexpr std::size_t kMaxRuns = 1'000'000;                // and so is this
  static constexpr std::size_t kMarksCompared = 100;                // at one place; what is beyond ends at kMaxRuns
  void grow_run(std::size_t end, Origin origin);
  std::string bytes_;
  std::vector<Run> runs_;  // ends ascend; an empty run marks where a message's content was
  bool markup_ = false;
};

// Python's view of text: characters, not bytes.
struct TextCharacter {
  std::size_t begin, end;
  char32_t code;
};
std::vector<TextCharacter> characters(std::string_view utf8);
void append_utf8(std::string& out, char32_t code);
bool is_python_space(char32_t code);
bool is_blank(std::string_view utf8);  // empty or white space

// Python's str methods, keeping origins. An empty `set` means white space.
enum class Side : unsigned char { kLeft = 1, kRight = 2, kBoth = 3 };
Text strip(const Text& text, Side side, std::string_view set = {}, bool whitespace = true);
Text replace(const Text& text, std::string_view from, const Text& to, std::size_t limit);
// At white space where `separator` is empty; at most `limit` cuts.
std::vector<Text> split(const Text& text, std::string_view separator, std::size_t limit);
std::vector<Text> split_from_right(const Text& text, std::string_view separator, std::size_t limit);
Text html_escaped(const Text& text);
std::vector<Text> split_lines(const Text& text, bool keep_ends);
enum class LetterCase : unsigned char { kUpper, kLower, kTitle, kCapitalize };
Text with_case(const Text& text, LetterCase letter_case);

}  // namespace shardlora
