// The table of record formats. Adding one is a file with its reader and a row in record_formats.cpp.
#pragma once

#include <string_view>
#include <vector>

#include "data/formats/dataset_source.h"
#include "data/formats/record.h"
#include "data/rows/row.h"

namespace shardlora {

struct RecordFormat {
  std::string_view name;
  std::vector<std::string_view> aliases;  // other names that recipes use for it
  std::string_view example;               // a row, for people
  // By the keys that the row has. The first format of the table that takes the row is meant.
  bool (*recognises)(const nlohmann::ordered_json& row, const DatasetSource& source);
  // Throws RowError. The row is an object.
  Record (*read)(const nlohmann::ordered_json& row, const DatasetSource& source);
};

const std::vector<RecordFormat>& record_formats();

// By name or alias; null where there is none.
const RecordFormat* find_record_format(std::string_view name);

// The format of a dataset whose recipe names none, from one of its rows. An Error shows the keys that were found and
// the formats there are.
const RecordFormat& recognise_record_format(const Row& row, const DatasetSource& source);

// The readers.
Record read_conversation(const nlohmann::ordered_json& row, const DatasetSource& source);
Record read_alpaca(const nlohmann::ordered_json& row, const DatasetSource& source);
Record read_completion(const nlohmann::ordered_json& row, const DatasetSource& source);
Record read_segments(const nlohmann::ordered_json& row, const DatasetSource& source);
Record read_prompt_completion(const nlohmann::ordered_json& row, const DatasetSource& source);
Record read_token_row(const nlohmann::ordered_json& row, const DatasetSource& source);

// What several readers need. The text under `key`; RowErrors where it is missing or no text.
const std::string& text_under(const nlohmann::ordered_json& row, const std::string& key);
// The same, "" where it is missing or null.
std::string text_or_empty(const nlohmann::ordered_json& row, const std::string& key);
// "instruction, input, output".
std::string keys_of(const nlohmann::ordered_json& row);

}  // namespace shardlora
