// Conversations: OpenAI's messages, ShareGPT's conversations, and whatever a recipe says about its keys and roles.
#include <array>

#include "data/formats/record_format.h"
#include "data/rows/bad_rows.h"
#include "io/json.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kWanted =
    R"(a row needs "messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}])";

// What the files of others call the roles that templates know.
struct RoleName {
  std::string_view name, role;
};
constexpr std::array kRoles{
    RoleName{"system", "system"},      RoleName{"user", "user"},           RoleName{"assistant", "assistant"},
    RoleName{"tool", "tool"},          RoleName{"developer", "developer"}, RoleName{"function", "function"},
    RoleName{"ipython", "ipython"},    RoleName{"human", "user"},          RoleName{"gpt", "assistant"},
    RoleName{"model", "assistant"},    RoleName{"chatgpt", "assistant"},   RoleName{"observation", "tool"},
    RoleName{"tool_response", "tool"},
};

std::string role_of(const std::string& name, const DatasetSource& source, std::size_t i) {
  for (const auto& [role, names] : source.roles) {
    for (const std::string& other : names) {
      if (other == name) return role;
    }
  }
  if (source.roles.contains(name)) return name;
  for (const RoleName& known : kRoles) {
    if (known.name == name) return std::string(known.role);
  }
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

void check_content(const Json& message, std::size_t i) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    if (!message.contains("tool_calls")) bad_row("message {}: content is missing", i + 1);
    return;
  }
  if (content->is_string()) return;
  if (!content->is_array()) bad_row("message {}: content must be text, not {}", i + 1, content->type_name());
  for (const Json& part : *content) {
    const auto text = part.is_object() ? part.find("text") : part.end();
    if (!part.is_object() || text == part.end() || !text->is_string())
      bad_row("message {}: only parts {{\"type\": \"text\", \"text\": \"…\"}} are supported in content", i + 1);
  }
}

// ShareGPT's {"from": "function_call", "value": "{\"name\": …, \"arguments\": …}"}.
Json call_of(const Json& message, const Layout& layout, std::size_t i) {
  try {
    const Json call = parse_ordered_json(text_under(message, layout.content), "function_call");
    if (!call.is_object() || !call.contains("name")) bad_row("message {}: a function_call without a name", i + 1);
    return {{"role", "assistant"},
            {"content", ""},
            {"tool_calls", Json::array({{{"type", "function"}, {"function", call}}})}};
  } catch (const Error& error) {
    bad_row("message {}: {}", i + 1, error.what());
  }
}

Json message_of(const Json& message, const Layout& layout, const DatasetSource& source, std::size_t i) {
  if (!message.is_object()) bad_row("message {}: not a JSON object", i + 1);
  const auto role = message.find(layout.role);
  if (role == message.end()) bad_row("message {}: {} is missing; it has {}", i + 1, layout.role, keys_of(message));
  if (!role->is_string()) bad_row("message {}: {} must be text, not {}", i + 1, layout.role, role->type_name());
  const auto& name = role->get_ref<const std::string&>();
  if (name == "function_call" && source.roles.empty()) return call_of(message, layout, i);
  Json out = Json::object();
  out["role"] = role_of(name, source, i);
  if (const auto content = message.find(layout.content); content != message.end()) out["content"] = *content;
  for (const auto& [key, value] : message.items()) {
    if (key != layout.role && key != layout.content && !out.contains(key)) out[key] = value;
  }
  check_content(out, i);
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
  if (!list.is_string() || !list.get_ref<const std::string&>().starts_with('[')) return list;
  try {
    return parse_ordered_json(list.get_ref<const std::string&>(), "\"" + name + "\"");
  } catch (const Error& error) {
    throw RowError(error.what());
  }
}

}  // namespace

Record read_conversation(const Json& row, const DatasetSource& source) {
  const std::string name = list_name(row, source);
  Json out = Json::object();
  Json& messages = out["messages"] = messages_of(list_under(row, name), source, name);
  const std::string system = text_or_empty(row, source.field_system.empty() ? "system" : source.field_system);
  if (!system.empty() && messages[0].at("role") != "system")
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", system}});
  const std::string tools = source.field_tools.empty() ? "tools" : source.field_tools;
  const auto is_empty = [](const Json& value) {
    return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
  };
  if (const auto found = row.find(tools); found != row.end() && !is_empty(*found)) out["tools"] = *found;
  if (const auto found = row.find("chat_template_kwargs"); found != row.end()) out["chat_template_kwargs"] = *found;
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
  if (const auto tools = row.find("tools"); tools != row.end() && !tools->is_null()) out["tools"] = *tools;
  return Conversation{std::move(out)};
}

}  // namespace shardlora
