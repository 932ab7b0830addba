#include "train/key_reference.h"

#include <fmt/ranges.h>

#include "train/dataset_fields.h"
#include "train/foreign_keys.h"
#include "train/recipe_fields.h"

namespace shardlora {
namespace {

std::string code(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back("`" + word + "`");
  return fmt::format("{}", fmt::join(quoted, " "));
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

}  // namespace

std::string keys_markdown() {
  std::string text =
      "# The keys of a recipe\n\n"
      "Written by `shardlora keys`; a test fails where this page is older than the tables. A key of another trainer "
      "without a "
      "value, or with an empty list, passes. Keys that stand nowhere here are refused with the nearest name.\n\n"
      "## Understood\n\n| key | also written |\n|---|---|\n";
  for (const auto& field : recipe_fields()) text += fmt::format("| `{}` | {} |\n", field.name, code(field.aliases));
  text += fmt::format("\nOf a data set, inside `datasets` and `test_datasets`: {}.\n", code(dataset_keys()));
  text +=
      "\nWords of `optimizer` for other forms of AdamW (`adamw_8bit`, `paged_adamw_32bit`, ...) are AdamW with its "
      "state in f32, which is said. Values that axolotl or LLaMA-Factory fill in otherwise are told in one line where "
      "a recipe has their words.\n";
  const ForeignTable all = foreign_recipe_keys();
  text += "\n## Taken for something near, which is said\n\n" + foreign_table(all, Verdict::kNear, "what happens here");
  text += "\n## Without effect here: noted in one line\n\n" + foreign_table(all, Verdict::kHarmless, "why");
  text +=
      "\n## Refused, since the result would be another one\n\n" + foreign_table(all, Verdict::kRefused, "what to do");
  text += "\n## Of a data set\n\n" + foreign_table(foreign_keys_of_a_dataset(), Verdict::kHarmless, "why") + '\n' +
          foreign_table(foreign_keys_of_a_dataset(), Verdict::kRefused, "what to do");
  return text;
}

}  // namespace shardlora
