#include "io/json.h"

#include <iterator>
#include <unordered_set>
#include <vector>

#include "base/error.h"

namespace shardlora {
namespace {

constexpr int kMaxDepth = 64;

// A pointer into the text that tells where the parser is.
class Position {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Position(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Position& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  Position operator++(int) {
    const Position before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Position& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

// Builds the document from the parser's events and refuses what the limits forbid.
template <typename Json>
class Builder : public nlohmann::json_sax<Json> {
 public:
  using Integer = typename Json::number_integer_t;
  using Unsigned = typename Json::number_unsigned_t;
  using Float = typename Json::number_float_t;
  using String = typename Json::string_t;

  Builder(std::string_view text, std::string_view what, LargeIntegers large_integers = LargeIntegers::kRefused)
      : text_(text), what_(what), at_(text.data()), large_integers_(large_integers) {}

  Json build() {
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the other Position is the end
    Json::sax_parse(Position(text_.data(), &at_), Position(text_.data() + text_.size(), &at_), this);
    return std::move(root_);
  }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(Integer value) override { return put(value); }
  bool number_unsigned(Unsigned value) override { return put(value); }
  bool string(String& value) override { return put(std::move(value)); }
  bool binary(typename Json::binary_t&) override { return false; }
  bool number_float(Float value, const String& spelled) override {
    if (large_integers_ == LargeIntegers::kRefused && spelled.find_first_of(".eE") == String::npos)
      refuse("the integer {} does not fit into 64 bits", spelled);
    return put(value);
  }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(String& name) override {
    if (!open_.back().keys.insert(name).second) refuse("the key \"{}\" occurs twice in one object", name);
    open_.back().key = name;
    return true;
  }
  bool parse_error(std::size_t characters_read, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: reason": the reason alone.
    const std::string text = error.what();
    const std::size_t column = text.find("column ");
    const std::string_view mark = column == std::string::npos ? "] " : ": ";
    const std::size_t found = text.find(mark, column == std::string::npos ? 0 : column);
    const std::string reason = found == std::string::npos ? text : text.substr(found + mark.size());
    refuse_at(characters_read == 0 ? 0 : characters_read - 1, "{}", reason);
    return false;
  }

 private:
  struct Open {
    Json value;
    String key;
    std::unordered_set<String> keys;
  };

  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    refuse_at(static_cast<std::size_t>(at_ - text_.data()), format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  [[noreturn]] void refuse_at(std::size_t byte, fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}: byte {}: {}", what_, byte, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename T>
  bool put(T&& value) {
    if (open_.empty())
      root_ = std::forward<T>(value);
    else if (open_.back().value.is_array())
      open_.back().value.push_back(std::forward<T>(value));
    else
      append(open_.back().value, std::move(open_.back().key), Json(std::forward<T>(value)));
    return true;
  }
  // Keys are known to differ, so an ordered object need not be searched for them.
  static void append(Json& object, String&& key, Json&& value) {
    auto& members = *object.template get_ptr<typename Json::object_t*>();
    if constexpr (std::is_same_v<Json, nlohmann::ordered_json>)
      members.push_back({std::move(key), std::move(value)});
    else
      members.emplace(std::move(key), std::move(value));
  }
  bool open(Json&& empty) {
    if (open_.size() == kMaxDepth) refuse("nested deeper than {} levels", kMaxDepth);
    open_.push_back({std::move(empty), {}, {}});
    return true;
  }
  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(value));
  }

  std::string_view text_, what_;
  const char* at_;
  LargeIntegers large_integers_;
  Json root_;
  std::vector<Open> open_;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view what, LargeIntegers large_integers) {
  return Builder<nlohmann::json>(text, what, large_integers).build();
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view what) {
  return Builder<nlohmann::ordered_json>(text, what).build();
}

}  // namespace shardlora
