// What a message says part by part, and which parts a chat template writes nowhere.
#pragma once

#include <cstdint>
#include <vector>

#include "data/row_notes.h"
#include "data/template/chat_template.h"
#include "data/template/template_input.h"

namespace shardlora {

// Throws RowError where a message that trains says nothing at all.
void check_said(const nlohmann::ordered_json& messages, const std::vector<std::uint8_t>& wanted);

// Throws RowError where the template left out a part of a message that trains; other parts are a note, and so are
// thoughts that it writes for the last answer only.
void check_written(const ChatTemplate& chat, const TemplateInput& input, const Rendered& rendered,
                   const std::vector<std::uint8_t>& wanted, RowNotes& notes);

}  // namespace shardlora
