#include "data/message_style.h"

#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/formats/json_forms.h"
#include "data/template/template_input.h"
#include "data/template/value.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

// Words that no template writes itself.
constexpr const char *kAsked = "qzasked", *kName = "qzname", *kKey = "qzkey", *kValue = "qzvalue";
constexpr const char *kFirst = "qzfirst", *kSecond = "qzsecond";
constexpr const char* kCallId = "call12345";  // nine letters and digits: Mistral's template wants that

Json said(const char* role, const Json& content) { return {{"role", role}, {"content", content}}; }

Json call(const Json& content, const Json& arguments) {
  Json message = said("assistant", content);
  message["tool_calls"] =
      Json::array({{{"id", kCallId}, {"type", "function"}, {"function", {{"name", kName}, {"arguments", arguments}}}}});
  return message;
}

Json tool() {
  const Json parameters = {{"type", "object"}, {"properties", {{"x", {{"type", "string"}, {"description", "X"}}}}}};
  return {{"type", "function"}, {"function", {{"name", "f"}, {"description", "F"}, {"parameters", parameters}}}};
}

// What the template makes of the messages; nothing where it refuses them.
std::string rendered(const ChatTemplate& chat, TemplateInput input, const Json& messages) {
  input.messages = messages;
  try {
    return chat.render(input).text;
  } catch (const Error&) {
    return "";
  }
}

// The call is there, its arguments are JSON (not Python's way to print an object, nor a string in quotes of its own),
// and what is no content is not printed.
bool shows_call(const std::string& text) {
  const std::size_t asked = text.find(kAsked), name = text.find(kName);
  if (asked == std::string::npos || name == std::string::npos || text.find(kValue) == std::string::npos) return false;
  return text.find(std::string("'") + kKey) == std::string::npos &&
         text.find(std::string("\\\"") + kKey) == std::string::npos &&
         (name < asked || text.substr(asked, name - asked).find("None") == std::string::npos);
}

// Both texts are there and nothing of the list around them.
bool shows_parts(const std::string& text) {
  const std::size_t first = text.find(kFirst), second = text.find(kSecond);
  return first != std::string::npos && second != std::string::npos && first < second &&
         text.substr(first, second - first).find("text") == std::string::npos;
}

// As Python's json.dumps writes it.
Json call_text(const Json& arguments) {
  return arguments.is_string() ? arguments : Json(to_json(value_of(arguments, {}), {}).bytes());
}

}  // namespace

MessageStyle::MessageStyle(const ChatTemplate& chat, const TemplateInput& settings) {
  struct Style {
    bool null_content, text_arguments;
  };
  constexpr std::array kStyles{Style{false, false}, Style{false, true}, Style{true, false}, Style{true, true}};
  TemplateInput with_tools = settings;
  with_tools.tools = Json::array({tool()});
  const Json asked = said("user", kAsked), arguments = {{kKey, kValue}};
  for (const Style& style : kStyles) {
    const Json calls =
        call(style.null_content ? Json() : Json(""), style.text_arguments ? call_text(arguments) : arguments);
    if (!shows_call(rendered(chat, with_tools, Json::array({asked, calls})))) continue;
    null_content_ = style.null_content;
    text_arguments_ = style.text_arguments;
    break;
  }

  const Json parts = Json::array({{{"type", "text"}, {"text", kFirst}}, {{"type", "text"}, {"text", kSecond}}});
  const Json answer = said("assistant", "A");
  Json calls = call("", arguments), result = said("tool", parts);
  apply(calls);
  result["name"] = kName;
  result["tool_call_id"] = kCallId;
  const auto takes = [&](const char* role, const Json& messages, const TemplateInput& input) {
    if (shows_parts(rendered(chat, input, messages))) takes_parts_.insert(role);
  };
  takes("system", Json::array({said("system", parts), asked, answer}), settings);
  takes("user", Json::array({said("user", parts), answer}), settings);
  takes("assistant", Json::array({asked, said("assistant", parts)}), settings);
  takes("tool", Json::array({asked, calls, result}), with_tools);
}

void MessageStyle::apply(Json& message) const {
  if (const auto calls = message.find("tool_calls"); calls != message.end() && calls->is_array() && !calls->empty()) {
    for (Json& call : *calls) {
      Json* const function = call.is_object() && call.contains("function") ? &call["function"] : &call;
      if (!function->is_object() || !function->contains("arguments")) continue;
      Json& arguments = (*function)["arguments"];
      arguments = text_arguments_ ? call_text(arguments) : from_text(arguments, "arguments of a call");
    }
    const auto content = message.find("content");
    const bool is_empty = content == message.end() || content->empty() ||
                          (content->is_string() && content->get_ref<const std::string&>().empty());
    if (is_empty) message["content"] = null_content_ ? Json() : Json("");
  }
  const auto content = message.find("content");
  if (content == message.end() || !content->is_array() || takes_parts_.contains(message.at("role"))) return;
  std::string text;
  for (const Json& part : *content) text += part.at("text").get<std::string>();
  *content = text;
}

}  // namespace shardlora
