// JSON as tables and hubs write it, brought back to what was meant.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace shardlora {

// Removes every key whose value is null, at every depth. Arrow, Parquet and pandas write null for a key that only other
// rows have, so a null says no more than a missing key; TRL removes them likewise. Lists keep their nulls.
void remove_null_keys(nlohmann::ordered_json& value);

// Of a text; 0 where there are none but blanks.
char first_letter(const nlohmann::ordered_json& text);

// What a text holds that is JSON itself, also where it was written so more than once; anything else as it is. `what`
// opens the text of a RowError.
nlohmann::ordered_json from_text(const nlohmann::ordered_json& value, const std::string& what);

// The same of a value that may also be one text or object where a list of them is meant. A RowError where it is no list
// of objects in the end.
nlohmann::ordered_json list_from_text(const nlohmann::ordered_json& value, const std::string& what);

}  // namespace shardlora
