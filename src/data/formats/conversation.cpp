// Conversations: OpenAI's messages, ShareGPT's conversations, and whatever a recipe says about its keys and roles.
#include "data/formats/json_forms.h"
#include "data/formats/message_form.h"
#include "data/formats/record_format.h"
#include "data/formats/roles.h"
#include "data/rows/bad_rows.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kWanted =
    R"(a row needs "messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}])";

std::string role_of(const std::string& name, const DatasetSource& source, std::size_t i) {
  if (auto role = template_role(name, source)) return *role;
  bad_row("message {}: unknown role \"{}\"; if it is meant, name it in the dataset's roles: {{user: [\"{}\"]}}", i + 1,
          name, name);
}

struct Layout {
  std::string role, content;
};

// A recipe's word, else as the first message has it; all messages of a row must be alike.
Layout layout_of(const Json& messages, const DatasetSource& source) {
  const Json& first = messages[0];
  const bool sharegpt = first.is_object() && !first.contains("role") && first.contains("from");
  return {!source.message_field_role.empty() ? source.message_field_role
          : sharegpt                         ? "from"
                                             : "role",
          !source.message_field_content.empty() ? source.message_field_content
          : sharegpt                            ? "value"
                                                : "content"};
}

Json message_of(const Json& message, const Layout& layout, const DatasetSource& source, std::size_t i) {
  if (!message.is_object()) bad_row("message {}: not a JSON object", i + 1);
  const auto role = message.find(layout.role);
  if (role == message.end()) bad_row("message {}: {} is missing; it has {}", i + 1, layout.role, keys_of(message));
  if (!role->is_string()) bad_row("message {}: {} must be text, not {}", i + 1, layout.role, role->type_name());
  const auto& name = role->get_ref<const std::string&>();
  Json out = Json::object();
  if (name == "function_call" && !role_by_dataset(name, source)) {
    // ShareGPT's {"from": "function_call", "value": "{\"name\": …, \"arguments\": …}"}, or a list of such calls.
    out["role"] = "assistant";
    out["content"] = "";
    out["tool_calls"] =
        list_from_text(text_under(message, layout.content), fmt::format("message {}: function_call", i + 1));
  } else {
    out["role"] = role_of(name, source, i);
    if (const auto content = message.find(layout.content); content != message.end()) out["content"] = *content;
  }
  for (const auto& [key, value] : message.items()) {
    if (key != layout.role && key != layout.content && !out.contains(key)) out[key] = value;
  }
  bring_to_form(out, i);
  return out;
}

Json messages_of(const Json& list, const DatasetSource& source, const std::string& name) {
  if (!list.is_array() || list.empty()) bad_row("\"{}\" must be a list with at least one message", name);
  const Layout layout = layout_of(list, source);
  Json messages = Json::array();
  for (std::size_t i = 0; i < list.size(); ++i) messages.push_back(message_of(list[i], layout, source, i));
  return messages;
}

std::string list_name(const Json& row, const DatasetSource& source) {
  if (!source.field_messages.empty()) {
    if (!row.contains(source.field_messages))
      bad_row("\"{}\" (field_messages) is missing; the row has {}", source.field_messages, keys_of(row));
    return source.field_messages;
  }
  for (const char* name : {"messages", "conversations", "conversation"}) {
    if (row.contains(name)) return name;
  }
  bad_row("\"messages\" is missing; the row has {}; {}", keys_of(row), kWanted);
}

// Columns of a CSV file hold lists as their JSON.
Json list_under(const Json& row, const std::string& name) {
  const Json& list = row.at(name);
  if (!list.is_string() || first_letter(list) != '[') return list;
  Json held = from_text(list, "\"" + name + "\"");
  remove_null_keys(held);
  return held;
}

bool is_empty(const Json& value) { return value.empty() || (value.is_string() && value.get<std::string>().empty()); }

// OpenAI's older "functions" are tools without their wrapping.
Json tools_of(const Json& row, const DatasetSource& source) {
  const auto tools = row.find(source.field_tools.empty() ? "tools" : source.field_tools);
  if (tools != row.end() && !is_empty(*tools)) return tools_in_form(*tools);
  const auto functions = row.find("functions");
  if (functions == row.end() || is_empty(*functions)) return Json::array();
  Json wrapped = Json::array();
  for (const Json& function : tools_in_form(*functions))
    wrapped.push_back({{"type", "function"}, {"function", function}});
  return wrapped;
}

// What a row says beside its messages.
void add_settings(const Json& row, const DatasetSource& source, Json& out) {
  if (Json tools = tools_of(row, source); !tools.empty()) out["tools"] = std::move(tools);
  const auto variables = row.find("chat_template_kwargs");
  if (variables == row.end() || is_empty(*variables)) return;
  out["chat_template_kwargs"] = from_text(*variables, "chat_template_kwargs");
  if (!out["chat_template_kwargs"].is_object())
    bad_row("chat_template_kwargs must be an object, not {}", out["chat_template_kwargs"].type_name());
}

}  // namespace

Record read_conversation(const Json& row, const DatasetSource& source) {
  const std::string name = list_name(row, source);
  Json out = Json::object();
  Json& messages = out["messages"] = messages_of(list_under(row, name), source, name);
  const std::string system = text_or_empty(row, source.field_system.empty() ? "system" : source.field_system);
  if (!system.empty() && messages[0].at("role") != "system")
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", system}});
  add_settings(row, source, out);
  return Conversation{std::move(out)};
}

// TRL's rows: texts, or lists of messages of which the completion's train.
Record read_prompt_completion(const Json& row, const DatasetSource& source) {
  for (const char* key : {"prompt", "completion"})
    if (!row.contains(key)) bad_row("\"{}\" is missing; the row has {}", key, keys_of(row));
  if (!row.at("prompt").is_array())
    return PlainText{{{text_under(row, "prompt")}, {text_under(row, "completion"), true, true}}};
  Json messages = messages_of(row.at("prompt"), source, "prompt");
  for (Json& message : messages) message["train"] = false;
  for (Json& message : messages_of(row.at("completion"), source, "completion")) messages.push_back(std::move(message));
  Json out = {{"messages", std::move(messages)}};
  add_settings(row, source, out);
  return Conversation{std::move(out)};
}

}  // namespace shardlora
