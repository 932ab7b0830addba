// What the values of a config mean: readers of one value each, whose Errors say place, key, what was expected and what
// was there; the nearest known name for a misspelt one; and the table that ties names to readers and writers.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/config_document.h"
#include "base/config_problems.h"
#include "base/error.h"
#include "base/foreign_keys.h"

namespace shardlora {

// A value together with the key as the user wrote it.
struct ConfigValue {
  std::string name;
  ConfigNode node;
  bool from_command_line = false;
};

// "recipe.yaml:3: lora_r: expected a whole number from 1 to 65536, got "many"".
[[noreturn]] void expected(const ConfigValue& value, const std::string& what);

// true, yes, on, false, no, off, whatever their case; nothing for other words.
std::optional<bool> bool_of(std::string_view written);
bool to_bool(const ConfigValue& value);
std::int64_t to_integer(const ConfigValue& value, std::int64_t min, std::int64_t max);
double to_number(const ConfigValue& value, double min, double max);
double to_number_above_zero(const ConfigValue& value, double max);
std::string to_text(const ConfigValue& value);
std::vector<std::string> to_words(const ConfigValue& value);        // a sequence, or one word
std::vector<std::string> to_split_words(const ConfigValue& value);  // the same, and words between commas
// The words between commas, without blanks around them: "q_proj, v_proj".
std::vector<std::string> comma_separated(const std::string& text);
// "24GiB", "1.5 GB", "512MiB" or bytes.
std::uint64_t to_bytes(const ConfigValue& value);
std::string bytes_text(std::uint64_t bytes);  // what to_bytes reads back to the same number
// Quoted, so that YAML reads it as the same text.
std::string yaml_text(std::string_view text);
std::string yaml_list(const std::vector<std::string>& words);  // ["a", "b"]
// What is expected, for people: "a whole number from 1 to 8"; "a number of at least 0" where `max` is the largest that
// there is.
std::string whole_number(std::int64_t min, std::int64_t max);
std::string number_between(double min, double max);
std::string number_above_zero(double max);

// The name at the smallest edit distance, or "" if none is near enough to be meant.
std::string nearest_name(std::string_view word, std::span<const std::string> names);
// "; did you mean "lora_r"?", or "".
std::string did_you_mean(std::string_view word, std::span<const std::string> names);

template <typename T>
using Choices = std::vector<std::pair<std::string, T>>;  // the first name of a value is the one that is written

template <typename T>
T to_choice(const ConfigValue& value, const Choices<T>& choices) {
  const std::string word = to_text(value);
  std::string list;
  std::vector<std::string> names;
  for (const auto& [name, choice] : choices) {
    if (name == word) return choice;
    list += (list.empty() ? "" : ", ") + name;
    names.push_back(name);
  }
  fail("{}: {}: unknown value \"{}\"{}; one of: {}", value.node.place, value.name, word, did_you_mean(word, names),
       list);
}

// Every value by its first name: "linear, cosine".
template <typename T>
std::string choice_names(const Choices<T>& choices) {
  std::string list;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    bool first = true;
    for (std::size_t j = 0; j < i; ++j) first = first && choices[j].second != choices[i].second;
    if (first) list += (list.empty() ? "" : ", ") + choices[i].first;
  }
  return list;
}

template <typename T>
std::string choice_name(T value, const Choices<T>& choices) {
  for (const auto& [name, choice] : choices) {
    if (choice == value) return name;
  }
  CHECK(false, "a choice without a name");
  return {};
}

// One key, and all that there is to know of it; rows are made by config_kinds.h. Keys inside a mapping are written with
// dots.
template <typename Config>
struct ConfigField {
  std::string name;
  std::vector<std::string> aliases;
  std::string type;  // what it takes, for people
  // One line. "(needed" or "not given: ..." in it says what holds where the key is not given, in the place of a
  // default.
  std::string help;
  std::function<void(Config&, const ConfigValue&)> read;
  std::function<std::string(const Config&)> write;  // null or "": not written
};

// The keys that a file and the overrides give, under their canonical names, later overrides before earlier ones and all
// of them before the file. `names`: canonical names with their aliases. Keys with an empty value count as not given.
// What is wrong with them goes to `problems`.
class GivenKeys {
 public:
  struct Name {
    std::string name;
    std::vector<std::string> aliases;
  };
  GivenKeys(std::vector<Name> names, ForeignTable foreign, ConfigProblems& problems);
  void read_file(const ConfigNode& root);
  void read_override(const ConfigMember& member);
  // Foreign keys, once all of them are known.
  void judge_foreign(ConfigNotes& notes);
  const ConfigValue* find(const std::string& name) const;  // null: not given
  // Its value could not be read. What depends on it is not checked then.
  void mark_unreadable(const std::string& name);
  bool unreadable(std::initializer_list<std::string_view> names) const;  // one of them
  // At most one of the two may be given; one from the command line takes the place of one from the file.
  void exclude(const std::string& a, const std::string& b);
  // Where the command line gives `key`, the file's `other`, which would say otherwise, does not count.
  void overrule(const std::string& key, const std::string& other);
  // What was left out that way, a line each.
  const std::vector<std::string>& overruled() const { return overruled_; }

 private:
  struct Given {
    std::string name;
    ConfigValue value;
  };
  void read(const ConfigMember& member, const std::string& prefix, bool from_command_line);
  const Name* known(const std::string& written) const;
  bool is_group(const std::string& written) const;
  void forget(const std::string& name);
  void read_foreign(const ConfigMember& member, const std::string& written);
  std::vector<Name> names_;
  ForeignTable foreign_;
  ConfigProblems& problems_;
  std::vector<std::string> all_names_;  // what a misspelt key may have meant
  std::vector<Given> given_, given_foreign_;
  std::vector<std::string> unreadable_, overruled_;
};

}  // namespace shardlora
