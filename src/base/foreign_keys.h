// Keys that other programs know and this one doesn't, as a table of data: what becomes of each where a recipe gives it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/config_document.h"
#include "base/config_problems.h"

namespace shardlora {

enum class Verdict : unsigned char {
  kHarmless,  // changes nothing here: passed over, in one line with its like
  kNear,      // passed, and said what it is taken for
  kRefused,   // the result would be another one
};

struct ForeignKeys {
  std::string_view names;  // "fsdp ddp_*"; a key inside a mapping is written with a dot
  std::string_view whose;  // whose documentation has them
  Verdict verdict;
  std::string_view off;     // "false *ForCausalLM": words that ask for nothing, as no value and an empty list do
  std::string_view advice;  // why it is harmless; what it is taken for; what to do
};

using ForeignTable = std::span<const ForeignKeys>;

// The words of a text with blanks between them.
std::vector<std::string> blank_separated(std::string_view text);
// Null: no row names it. An exact name comes before one with a star.
const ForeignKeys* find_foreign(ForeignTable table, std::string_view key);
// Whether the table has keys inside of the mapping `group`.
bool is_foreign_group(ForeignTable table, std::string_view group);

// What a recipe's reader should know about keys that passed.
class ConfigNotes {
 public:
  // One more foreign key; a refused one that asks for something is a problem.
  void take(const ForeignKeys& row, const std::string& written, const ConfigNode& value, ConfigProblems& problems);
  void say(std::string sentence) { said_.push_back(std::move(sentence)); }
  std::vector<std::string> lines()
      const;  // a line for all that is harmless, one for each kind that is taken for another
  bool saw(std::string_view whose) const;  // whether a key came that only they have

 private:
  struct Near {
    const ForeignKeys* row;
    std::string place, keys;
  };
  std::vector<std::string> harmless_, said_;
  std::vector<Near> near_;
  std::vector<std::string_view> whose_;
};

}  // namespace shardlora
