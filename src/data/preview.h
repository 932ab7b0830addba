// What the model will see of a row, for people.
#pragma once

#include <string>

#include "data/sample_maker.h"

namespace shardlora {

// The text of a sample, what is trained in colour or between ⟦ and ⟧. Control characters are shown as \x1b, so that a
// row cannot play with the terminal.
std::string preview_row(const Sample& sample, const Tokenizer& tokenizer, bool colour);

// The same as marks and at most 16 lines and 1,500 bytes of it.
std::string preview_excerpt(const Sample& sample, const Tokenizer& tokenizer);

// One line a token: place, id, "trained" or "-", text in quotes.
std::string preview_ids(const Sample& sample, const Tokenizer& tokenizer);

}  // namespace shardlora
