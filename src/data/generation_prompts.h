// Where the assistant's turns begin: where the generation prompt ends with which the model is asked for them. All
// behind it up to the end of the turn is what the model has to write: the opening of a call, a thought's "<think>", the
// blank between "[/INST]" and an answer.
#pragma once

#include <cstdint>
#include <vector>

#include "data/row_notes.h"
#include "data/template/template_input.h"
#include "data/turns.h"

namespace shardlora {

// Moves the beginnings of the turns to where they train from, and returns the seams of the text: where the prompt of a
// turn that trains ends, so that its ids are what the model will see. Where the row doesn't go on as the prompt has it,
// that is a note, and the turn begins where the two part, at the latest with the first byte that comes from the row.
std::vector<std::uint32_t> begin_turns(std::vector<Turn>& turns, const ChatTemplate& chat, const TemplateInput& input,
                                       const Rendered& rendered, const std::vector<std::uint8_t>& from_template,
                                       const std::vector<std::uint8_t>& wanted, RowNotes& notes);

}  // namespace shardlora
