// The one form in which messages and tools go on to the chat template, of the several in which files have them.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>

namespace shardlora {

// Calls: "tool_calls" becomes a list of {"function": {"name", "arguments"}}, where arguments are an object or the text
// of one; an empty list vanishes; OpenAI's older "function_call" becomes a list of one. Content: text, or a list of
// {"type": "text", "text"}. RowErrors where something is neither, and where neither content nor calls are there.
void bring_to_form(nlohmann::ordered_json& message, std::size_t index);

// Tools as a list of objects with their parameters as objects, of such a list, of JSON texts of its parts or of one
// text.
nlohmann::ordered_json tools_in_form(const nlohmann::ordered_json& tools);

}  // namespace shardlora
