#include "data/formats/message_form.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "data/formats/json_forms.h"
#include "data/rows/bad_rows.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

// What the APIs call a part that is text.
constexpr std::array<std::string_view, 3> kTextParts{"text", "input_text", "output_text"};

bool is_blank(const Json& value) { return value.is_string() && first_letter(value) == '\0'; }

// An object, or the text of one: that stays, since there are templates that write it as it is.
Json arguments_of(const Json& function, const std::string& call) {
  const auto found = function.find("arguments");
  if (found == function.end() || found->is_null() || is_blank(*found)) return Json::object();
  const std::string what = call + ": arguments";
  const Json held = from_text(*found, what);
  if (!held.is_object()) bad_row("{} must be an object, or its JSON as text, not {}", what, held.type_name());
  const bool is_its_text = found->is_string() && first_letter(*found) == '{';
  return is_its_text ? *found : held;
}

// {"type", "function": {"name", "arguments"}}, of {"name", "arguments"} too.
Json call_in_form(const Json& call, const std::string& what) {
  Json out = call;
  if (!call.contains("function")) {
    out = {{"type", "function"}, {"function", call}};
    for (const char* key : {"id", "type"}) {
      if (const auto found = call.find(key); found != call.end()) out[key] = *found;
      out["function"].erase(key);
    }
  }
  Json& function = out["function"] = from_text(out["function"], what + ": function");
  if (!function.is_object()) bad_row("{}: function must be an object, not {}", what, function.type_name());
  const auto name = function.find("name");
  if (name == function.end() || !name->is_string() || is_blank(*name)) bad_row("{} has no name", what);
  function["arguments"] = arguments_of(function, what);
  return out;
}

void calls_in_form(Json& message, const std::string& where) {
  if (const auto old = message.find("function_call"); old != message.end() && !message.contains("tool_calls")) {
    const Json call = from_text(*old, where + ": function_call");
    message.erase("function_call");
    message["tool_calls"] = Json::array({{{"type", "function"}, {"function", call}}});
  }
  const auto calls = message.find("tool_calls");
  if (calls == message.end()) return;
  Json list = calls->is_null() || is_blank(*calls) ? Json::array() : list_from_text(*calls, where + ": tool_calls");
  if (list.empty()) {
    message.erase(calls);
    return;
  }
  for (std::size_t i = 0; i < list.size(); ++i)
    list[i] = call_in_form(list[i], fmt::format("{}: call {}", where, i + 1));
  *calls = std::move(list);
}

Json part_in_form(const Json& part, const std::string& where) {
  if (part.is_string()) return {{"type", "text"}, {"text", part}};
  const auto type = part.is_object() ? part.find("type") : part.end();
  const bool named = type != part.end() && type->is_string();
  const bool is_text =
      part.is_object() &&
      (type == part.end() || (named && std::find(kTextParts.begin(), kTextParts.end(),
                                                 type->get_ref<const std::string&>()) != kTextParts.end()));
  const auto text = is_text ? part.find("text") : part.end();
  if (is_text && text != part.end() && text->is_string()) return {{"type", "text"}, {"text", *text}};
  bad_row("{} is {}; only parts {{\"type\": \"text\", \"text\": \"…\"}} can be trained on", where,
          named && !is_text ? fmt::format("of type \"{}\"", type->get<std::string>()) : "no text");
}

void content_in_form(Json& message, const std::string& where) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    if (!message.contains("tool_calls")) bad_row("{}: content is missing", where);
    message["content"] = "";
    return;
  }
  if (content->is_string()) return;
  if (!content->is_array()) bad_row("{}: content must be text, not {}", where, content->type_name());
  for (std::size_t i = 0; i < content->size(); ++i)
    (*content)[i] = part_in_form((*content)[i], fmt::format("{}: part {} of its content", where, i + 1));
}

}  // namespace

void bring_to_form(Json& message, std::size_t index) {
  const std::string where = fmt::format("message {}", index + 1);
  calls_in_form(message, where);
  content_in_form(message, where);
}

Json tools_in_form(const Json& tools) {
  Json list = list_from_text(tools, "tools");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("tools {}", i + 1);
    const auto nested = list[i].find("function");
    if (nested != list[i].end()) *nested = from_text(*nested, where + ": function");
    Json& function = nested != list[i].end() ? *nested : list[i];
    if (!function.is_object()) bad_row("{}: function must be an object, not {}", where, function.type_name());
    if (const auto parameters = function.find("parameters"); parameters != function.end())
      *parameters = is_blank(*parameters) ? Json::object() : from_text(*parameters, where + ": parameters");
  }
  return list;
}

}  // namespace shardlora
