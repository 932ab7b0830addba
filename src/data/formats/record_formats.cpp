#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/formats/record_format.h"

#include "data/rows/bad_rows.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

bool has(const Json& row, const std::string& key) {
  const auto found = row.find(key);
  return found != row.end() && !found->is_null();
}

}  // namespace

// More telling keys first: rows of alpaca may have a "text" beside the rest.
const std::vector<RecordFormat>& record_formats() {
  static const std::vector<RecordFormat> table = {
      {"chat_template",
       {"messages", "openai", "sharegpt", "chatml", "conversation", "conversations", "chat_template.default"},
       R"({"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]})",
       [](const Json& row, const DatasetSource& source) {
         return has(row, "messages") || has(row, "conversations") || has(row, "conversation") ||
                (!source.field_messages.empty() && has(row, source.field_messages));
       },
       read_conversation},
      {"input_output",
       {"template_free"},
       R"({"segments": [{"text": "…", "label": false}, {"text": "…", "label": true}]})",
       [](const Json& row, const DatasetSource&) { return has(row, "segments"); },
       read_segments},
      {"pre_tokenized",
       {"pretokenized", "tokenized"},
       R"({"input_ids": [1, 2], "labels": [-100, 2]})",
       [](const Json& row, const DatasetSource&) { return has(row, "input_ids"); },
       read_token_row},
      {"alpaca",
       {"instruction"},
       R"({"instruction": "…", "input": "…", "output": "…"})",
       [](const Json& row, const DatasetSource&) { return has(row, "instruction") && has(row, "output"); },
       read_alpaca},
      {"prompt_completion",
       {"prompt-completion"},
       R"({"prompt": "…", "completion": "…"})",
       [](const Json& row, const DatasetSource&) { return has(row, "prompt") && has(row, "completion"); },
       read_prompt_completion},
      {"completion",
       {"text", "pretrain", "pt"},
       R"({"text": "…"})",
       [](const Json& row, const DatasetSource& source) {
         return has(row, source.field.empty() ? "text" : source.field);
       },
       read_completion},
  };
  return table;
}

const RecordFormat* find_record_format(std::string_view name) {
  for (const RecordFormat& format : record_formats()) {
    if (format.name == name || std::find(format.aliases.begin(), format.aliases.end(), name) != format.aliases.end())
      return &format;
  }
  return nullptr;
}

const RecordFormat& recognise_record_format(const Row& row, const DatasetSource& source) {
  for (const RecordFormat& format : record_formats()) {
    if (row.json.is_object() && format.recognises(row.json, source)) return format;
  }
  if (row.json.is_object() && has(row.json, "chosen"))
    fail("{}:{}: rows with chosen and rejected are for preference training, which this version doesn't have",
         row.source, row.line);
  std::string known;
  for (const RecordFormat& format : record_formats()) known += fmt::format("\n  {:<18}{}", format.name, format.example);
  fail("{}:{}: what is in this row isn't known; {}. Rename the keys as one of these has them:{}", row.source, row.line,
       row.json.is_object() ? "its keys are " + keys_of(row.json) : "it is no JSON object", known);
}

const std::string& text_under(const Json& row, const std::string& key) {
  const auto found = row.find(key);
  if (found == row.end()) bad_row("\"{}\" is missing; the row has {}", key, keys_of(row));
  if (!found->is_string()) bad_row("\"{}\" must be text, not {}", key, found->type_name());
  return found->get_ref<const std::string&>();
}

std::string text_or_empty(const Json& row, const std::string& key) {
  const auto found = row.find(key);
  return found == row.end() || found->is_null() ? "" : text_under(row, key);
}

std::string keys_of(const Json& row) {
  constexpr std::size_t kMost = 20;
  std::string keys;
  std::size_t count = 0;
  for (const auto& [key, value] : row.items()) {
    if (++count > kMost) return keys + ", …";
    keys += (keys.empty() ? "" : ", ") + (key.size() > 64 ? key.substr(0, 64) + "…" : key);
  }
  return keys.empty() ? "no keys" : keys;
}

}  // namespace shardlora
