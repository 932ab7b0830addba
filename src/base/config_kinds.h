// The kinds of rows that a table of keys is made of. A row names its key (other names that are understood follow), the
// member that it sets, the accepted range and a line of help; a key that is of no such kind has a reader and a writer
// of its own. A member is a pointer to one, or a function that finds it:
// [](auto& c) -> auto& { return c.schedule.power; }
#pragma once

#include <functional>
#include <limits>

#include "base/config_fields.h"

namespace shardlora {

inline constexpr std::int64_t kMany = std::numeric_limits<std::int64_t>::max();
inline constexpr double kUnbounded = std::numeric_limits<double>::infinity();

// Values as they are written; "" where there is none.
inline std::string written(bool value) { return value ? "true" : "false"; }
inline std::string written(std::int64_t value) { return std::to_string(value); }
inline std::string written(double value) { return fmt::format("{}", value); }
inline std::string written(const std::string& value) { return value.empty() ? "" : yaml_text(value); }
inline std::string written(const std::vector<std::string>& words) { return words.empty() ? "" : yaml_list(words); }
template <typename T>
std::string written(const std::optional<T>& value) {
  return value ? written(*value) : std::string();
}

template <typename Config>
struct ConfigKinds {
  using Field = ConfigField<Config>;
  using Names = std::vector<std::string>;
  using Read = std::function<void(Config&, const ConfigValue&)>;
  using Write = std::function<std::string(const Config&)>;

  static Field row(const Names& names, std::string type, std::string help, Read read, Write write) {
    return {names.front(),   {names.begin() + 1, names.end()}, std::move(type), std::move(help), std::move(read),
            std::move(write)};
  }

  template <typename Member>
  static Field text(const Names& names, Member member, std::string help) {
    return of(names, "text", std::move(help), member, to_text);
  }
  // A list, or one word.
  template <typename Member>
  static Field words(const Names& names, Member member, std::string help) {
    return of(names, "a list of words", std::move(help), member, to_words);
  }
  template <typename Member>
  static Field flag(const Names& names, Member member, std::string help) {
    return of(names, "true or false", std::move(help), member, to_bool);
  }
  template <typename Member>
  static Field whole(const Names& names, Member member, std::int64_t min, std::int64_t max, std::string help) {
    return of(names, whole_number(min, max), std::move(help), member,
              [=](const ConfigValue& v) { return to_integer(v, min, max); });
  }
  template <typename Member>
  static Field number(const Names& names, Member member, double min, double max, std::string help) {
    return of(names, number_between(min, max), std::move(help), member,
              [=](const ConfigValue& v) { return to_number(v, min, max); });
  }
  template <typename Member>
  static Field above_zero(const Names& names, Member member, double max, std::string help) {
    return of(names, number_above_zero(max), std::move(help), member,
              [=](const ConfigValue& v) { return to_number_above_zero(v, max); });
  }
  template <typename Member>
  static Field bytes(const Names& names, Member member, std::string help) {
    return row(
        names, "a size such as 24GiB", std::move(help),
        [=](Config& c, const ConfigValue& v) { std::invoke(member, c) = to_bytes(v); },
        [=](const Config& c) { return bytes_text(std::invoke(member, c)); });
  }
  // Where something is kept: an optional<string>, "" for none.
  template <typename Member>
  static Field folder_or_none(const Names& names, Member member, std::string help) {
    return row(
        names, "a folder, or none", std::move(help),
        [=](Config& c, const ConfigValue& v) {
          const std::string path = to_text(v);
          std::invoke(member, c) = path == "none" || path == "false" ? "" : path;
        },
        [=](const Config& c) -> std::string {
          const std::optional<std::string>& path = std::invoke(member, c);
          return !path ? "" : path->empty() ? "none" : yaml_text(*path);
        });
  }
  // Of an enumeration, or an optional one.
  template <typename T, typename Member>
  static Field choice(const Names& names, Member member, const Choices<T>& choices, std::string help) {
    return row(
        names, choice_names(choices), std::move(help),
        [=](Config& c, const ConfigValue& v) { std::invoke(member, c) = to_choice(v, choices); },
        [=](const Config& c) -> std::string {
          const std::optional<T> value = std::invoke(member, c);
          return value ? choice_name(*value, choices) : "";
        });
  }
  // Only one value means something; `accepted` are words for it, `what` says which it is.
  static Field only(const Names& names, const Names& accepted, const std::string& what, std::string help,
                    Write write = nullptr) {
    return row(
        names, what, std::move(help),
        [=](Config&, const ConfigValue& v) {
          const std::string word = to_text(v);
          for (const std::string& value : accepted)
            if (value == word) return;
          expected(v, what);
        },
        std::move(write));
  }

 private:
  template <typename Member, typename To>
  static Field of(const Names& names, std::string type, std::string help, Member member, To to) {
    return row(
        names, std::move(type), std::move(help),
        [=](Config& c, const ConfigValue& v) { std::invoke(member, c) = to(v); },
        [=](const Config& c) { return written(std::invoke(member, c)); });
  }
};

}  // namespace shardlora
