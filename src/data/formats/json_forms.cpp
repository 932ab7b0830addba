#include "data/formats/json_forms.h"

#include "data/rows/bad_rows.h"
#include "io/json.h"

namespace shardlora {

using Json = nlohmann::ordered_json;

void remove_null_keys(Json& value) {
  if (value.is_object()) {
    for (auto item = value.begin(); item != value.end();) {
      if (item->is_null())
        item = value.erase(item);
      else
        ++item;
    }
  }
  if (value.is_structured()) {
    for (Json& item : value) remove_null_keys(item);
  }
}

char first_letter(const Json& text) {
  const auto& bytes = text.get_ref<const std::string&>();
  const std::size_t at = bytes.find_first_not_of(" \t\r\n");
  return at == std::string::npos ? '\0' : bytes[at];
}

Json from_text(const Json& value, const std::string& what) {
  Json held = value;
  try {
    while (held.is_string()) held = parse_ordered_json(held.get_ref<const std::string&>(), what);
  } catch (const Error& error) {
    throw RowError(error.what());
  }
  return held;
}

Json list_from_text(const Json& value, const std::string& what) {
  Json list = from_text(value, what);
  if (list.is_object()) list = Json::array({std::move(list)});
  if (!list.is_array()) bad_row("{} must be a list, not {}", what, list.type_name());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string item = fmt::format("{} {}", what, i + 1);
    list[i] = from_text(list[i], item);
    if (!list[i].is_object()) bad_row("{} must be an object, not {}", item, list[i].type_name());
  }
  return list;
}

}  // namespace shardlora
