#include "recipe/key_reference.h"

#include <fmt/ranges.h>

#include "base/ascii.h"
#include "recipe/dataset_fields.h"
#include "recipe/foreign_keys.h"
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using Words = std::vector<std::string>;

std::string code(const Words& words) {
  Words quoted;
  for (const std::string& word : words) quoted.push_back("`" + word + "`");
  return fmt::format("{}", fmt::join(quoted, " "));
}

// What a key is where a recipe does not give it; "" where its help says so.
template <typename Config>
std::string default_of(const ConfigField<Config>& field) {
  for (const char* said : {"(needed", "not given:"})
    if (field.help.find(said) != std::string::npos) return "";
  std::string value = field.write ? field.write(Config{}) : "";
  if (value.size() > 1 && value.starts_with('"')) value = value.substr(1, value.size() - 2);
  return value;
}

template <typename Config>
std::string field_table(const std::vector<ConfigField<Config>>& fields) {
  std::string text = "| key | takes | default | what it is | also written |\n|---|---|---|---|---|\n";
  for (const auto& field : fields) {
    const std::string value = default_of(field);
    text += fmt::format("| `{}` | {} | {} | {} | {} |\n", field.name, field.type, value.empty() ? "" : code({value}),
                        field.help, code(field.aliases));
  }
  return text;
}

// The rows of one verdict. What they say stands in the last column.
std::string foreign_table(ForeignTable rows, Verdict verdict, std::string_view says) {
  std::string text = fmt::format("| keys | of | {}{} |\n|---|---|---|{}\n", says,
                                 verdict == Verdict::kHarmless ? "" : " | passes without a word with",
                                 verdict == Verdict::kHarmless ? "" : "---|");
  for (const ForeignKeys& row : rows) {
    if (row.verdict != verdict) continue;
    text += fmt::format("| {} | {} | {} |", code(blank_separated(row.names)), row.whose, row.advice);
    if (verdict != Verdict::kHarmless) text += fmt::format(" {} |", code(blank_separated(row.off)));
    text += '\n';
  }
  return text;
}

// `text` in lines of up to 80 columns, each with `indent` blanks before it.
std::string wrapped(const std::string& text, std::size_t indent) {
  constexpr std::size_t kColumns = 80;
  std::string lines, line(indent, ' ');
  for (const std::string& word : blank_separated(text)) {
    if (line.size() > indent && line.size() + 1 + word.size() > kColumns) {
      lines += line + '\n';
      line.assign(indent, ' ');
    }
    line += (line.size() > indent ? " " : "") + word;
  }
  return lines + line + '\n';
}

constexpr std::size_t kIndent = 4;

template <typename Config>
std::string entry(const ConfigField<Config>& field, const std::string& prefix) {
  std::string text = wrapped(field.aliases.empty()
                                 ? prefix + field.name
                                 : fmt::format("{}{}  (also {})", prefix, field.name, fmt::join(field.aliases, ", ")),
                             0);
  text += wrapped(field.help, kIndent);
  const std::string value = default_of(field);
  return text + wrapped(value.empty() ? field.type : fmt::format("{}; default {}", field.type, value), kIndent);
}

std::string entry(const ForeignKeys& row) {
  const char* const what = row.verdict == Verdict::kHarmless ? "without effect here"
                           : row.verdict == Verdict::kNear   ? "taken for something near"
                                                             : "refused";
  return wrapped(fmt::format("{}", fmt::join(blank_separated(row.names), ", ")), 0) +
         wrapped(fmt::format("of {}, {}: {}", row.whose, what, row.advice), kIndent);
}

// `word` is in lower case.
template <typename Config>
bool has(const ConfigField<Config>& field, const std::string& prefix, const std::string& word) {
  const std::string all = fmt::format("{}{} {} {}", prefix, field.name, fmt::join(field.aliases, " "), field.help);
  return lower_case(all).find(word) != std::string::npos;
}

bool has(ForeignTable rows, const ForeignKeys& row, const std::string& word) {
  return lower_case(std::string(row.names)).find(word) != std::string::npos || find_foreign(rows, word) == &row;
}

constexpr const char* kOfDataset = "datasets[].";

[[noreturn]] void fail_unknown(const std::string& word) {
  Words names;
  for (const RecipeField& field : recipe_fields()) {
    names.push_back(field.name);
    names.insert(names.end(), field.aliases.begin(), field.aliases.end());
  }
  for (const DatasetField& field : dataset_fields()) names.push_back(field.name);
  throw UsageError(fmt::format("keys: no key has \"{}\" in its name or its help{}", word, did_you_mean(word, names)));
}

}  // namespace

std::string keys_markdown() {
  std::string text =
      "# The keys of a recipe\n\n"
      "Written by `shardlora keys --markdown`; a test fails where this page is older than the tables. `shardlora keys "
      "WORD` shows the same on a terminal. Keys with a dot stand inside a mapping: `memory:` with "
      "`device_limit: 20GiB` below it, or `memory.device_limit=20GiB` on the command line. A key without a value "
      "counts as not given. Keys that stand nowhere here are refused with the nearest name.\n";
  for (const KeyGroup& group : recipe_groups()) {
    text += fmt::format("\n## {}\n\n{}", group.title, field_table(group.fields));
    if (std::string_view(group.title) == "Data")
      text += "\n### Of a data set, inside `datasets` and `test_datasets`\n\n" + field_table(dataset_fields());
  }
  text +=
      "\n# Keys of other trainers\n\nA key of another trainer without a value, or with an empty list, passes. Words of "
      "`optimizer` for other forms of AdamW (`adamw_8bit`, `paged_adamw_32bit`, ...) are AdamW with its state in f32, "
      "which is said. Values that axolotl or LLaMA-Factory fill in otherwise are told in one line where a recipe has "
      "their words.\n";
  const ForeignTable all = foreign_recipe_keys(), of_dataset = foreign_keys_of_a_dataset();
  text += "\n## Taken for something near, which is said\n\n" + foreign_table(all, Verdict::kNear, "what happens here");
  text += "\n## Without effect here: noted in one line\n\n" + foreign_table(all, Verdict::kHarmless, "why");
  text +=
      "\n## Refused, since the result would be another one\n\n" + foreign_table(all, Verdict::kRefused, "what to do");
  text += "\n## Of a data set\n\n" + foreign_table(of_dataset, Verdict::kHarmless, "why") + '\n' +
          foreign_table(of_dataset, Verdict::kRefused, "what to do");
  return text;
}

std::string keys_text(const std::string& asked) {
  const std::string word = lower_case(asked);
  std::string text;
  for (const KeyGroup& group : recipe_groups()) {
    std::string of_group;
    for (const RecipeField& field : group.fields)
      if (has(field, "", word)) of_group += entry(field, "");
    if (!of_group.empty()) text += fmt::format("{}{}\n\n{}", text.empty() ? "" : "\n", group.title, of_group);
  }
  std::string of_dataset, foreign;
  for (const DatasetField& field : dataset_fields())
    if (has(field, kOfDataset, word)) of_dataset += entry(field, kOfDataset);
  if (!of_dataset.empty())
    text += fmt::format("{}A data set, inside datasets and test_datasets\n\n{}", text.empty() ? "" : "\n", of_dataset);
  for (const ForeignTable rows : {foreign_recipe_keys(), ForeignTable(foreign_keys_of_a_dataset())})
    for (const ForeignKeys& row : rows)
      if (!word.empty() && has(rows, row, word)) foreign += entry(row);
  if (!foreign.empty()) text += fmt::format("{}Keys of other trainers\n\n{}", text.empty() ? "" : "\n", foreign);
  if (text.empty()) fail_unknown(asked);
  return text;
}

}  // namespace shardlora
