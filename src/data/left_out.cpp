#include "data/left_out.h"

#include <set>
#include <string>
#include <utility>

#include "data/rows/bad_rows.h"
#include "data/template/text.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

struct Part {
  std::int32_t number;  // Origin::part
  std::string name;     // for people
};

bool says(const Json& value) { return value.is_string() && !is_blank(value.get_ref<const std::string&>()); }

void add_call(std::vector<Part>& parts, const Json& call, std::size_t k) {
  if (!call.is_object()) return;
  const auto inner = call.find("function");
  const Json& function = inner != call.end() && inner->is_object() ? *inner : call;
  const auto name = function.find("name"), arguments = function.find("arguments");
  std::string what = fmt::format("call {}", k + 1);
  if (name != function.end() && says(*name)) {
    what += " (" + name->dump() + ")";
    parts.push_back({Origin::name_of_call(k), what});
  }
  if (arguments == function.end()) return;
  if (says(*arguments) || (arguments->is_object() && !arguments->empty()))
    parts.push_back({Origin::arguments_of_call(k), "the arguments of " + what});
}

// The parts of a message that say something.
std::vector<Part> parts_of(const Json& message) {
  std::vector<Part> parts;
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto thoughts = message.find(name);
    if (thoughts == message.end() || !says(*thoughts)) continue;
    parts.push_back({Origin::kThoughts, name});
    break;
  }
  if (const auto content = message.find("content"); content != message.end()) {
    if (says(*content)) parts.push_back({Origin::kText, "content"});
    for (std::size_t j = 0; content->is_array() && j < content->size(); ++j) {
      const Json& part = (*content)[j];
      if (part.is_object() && part.contains("text") && says(part["text"]))
        parts.push_back({Origin::part_of_list(j), fmt::format("part {} of content", j + 1)});
    }
  }
  if (const auto calls = message.find("tool_calls"); calls != message.end() && calls->is_array()) {
    for (std::size_t k = 0; k < calls->size(); ++k) add_call(parts, (*calls)[k], k);
  }
  if (const auto call = message.find("function_call"); call != message.end()) add_call(parts, *call, 0);
  return parts;
}

using Written = std::set<std::pair<std::int32_t, std::int32_t>>;  // message and part

Written written_in(const Rendered& rendered) {
  Written written;
  for (const Rendered::Range& range : rendered.ranges) {
    if (range.begin < range.end && range.origin.part != 0) written.emplace(range.origin.message, range.origin.part);
  }
  return written;
}

// Whether the template writes thoughts where no message follows.
bool writes_last_thoughts(const ChatTemplate& chat, const TemplateInput& input, std::int32_t message) {
  TemplateInput until = input;
  until.messages.erase(until.messages.begin() + message + 1, until.messages.end());
  try {
    return written_in(chat.render(until)).contains({message, Origin::kThoughts});
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void check_said(const Json& messages, const std::vector<std::uint8_t>& wanted) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (wanted[i] == 0 || !parts_of(messages[i]).empty()) continue;
    const auto& role = messages[i].at("role").get_ref<const std::string&>();
    bad_row("message {}: {}; there is nothing to train but its end", i + 1,
            role == "assistant" ? "an empty answer" : "the " + role + " says nothing");
  }
}

void check_written(const ChatTemplate& chat, const TemplateInput& input, const Rendered& rendered,
                   const std::vector<std::uint8_t>& wanted, RowNotes& notes) {
  const Written written = written_in(rendered);
  const auto note = [&](std::string text) {
    if (!notes.left_out) notes.left_out = std::move(text);
  };
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto message = static_cast<std::int32_t>(i);
    for (const Part& part : parts_of(input.messages[i])) {
      if (written.contains({message, part.number})) continue;
      const bool thoughts = part.number == Origin::kThoughts;
      if (wanted[i] == 0) {
        if (!thoughts) note(fmt::format("message {}: {}", i + 1, part.name));
      } else if (thoughts && writes_last_thoughts(chat, input, message)) {
        note(fmt::format("message {}: {}, which it writes in a last answer only", i + 1, part.name));
      } else {
        bad_row(
            "message {}: the chat template writes {} nowhere; take a template that knows it (chat_template), or remove "
            "it from the row",
            i + 1, part.name);
      }
    }
  }
  if (!input.tools.empty() && !written.contains({-1, Origin::kTools})) note("tools");
}

}  // namespace shardlora
