// Rows to samples, as the model sees them. By the model's own chat template, which knows for every character whether it
// is the template's or the row's:
//  - what trains is said in turns.h: an assistant's answer with the token that ends its turn, not the role header and
//    not what follows the end;
//  - control tokens come from the template's text only; the same letters in a row are encoded as text.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "batch/sample.h"
#include "data/message_style.h"
#include "data/row_notes.h"
#include "data/template_choice.h"
#include "data/tokenizer.h"
#include "data/train_on.h"
#include "data/turns.h"

namespace shardlora {

struct Row;

// What is asked of the model at a row's last assistant turn, and what the row answers.
struct Prompt {
  std::vector<std::int32_t> tokens;  // ends where the answer begins
  std::string reference;
  std::string source;
  std::int64_t line = 0;
};

class SampleMaker {
 public:
  // Both must outlive the maker. A tokenizer without a chat template is an Error.
  SampleMaker(const Tokenizer& tokenizer, const ChatTemplate& chat);

  // The whole row, uncut. Throws RowError where the template refuses it or leaves out something that should train, and
  // where that is nothing.
  Sample sample_of(const Row& row, const TrainOn& train_on = {}, RowNotes* notes = nullptr) const;
  Prompt prompt_of(const Row& row) const;
  // A prompt of one's own: [{"role": "user", "content": "Hi"}], ready for the answer.
  std::vector<std::int32_t> tokens_of(const nlohmann::ordered_json& messages) const;

  // What is wrong with this template for training, found with one question and one answer; a line each, for people.
  std::vector<std::string> template_warnings(const TrainOn& train_on = {}) const;
  // What the template ends an answer in words with. Nothing: it writes no control token behind it.
  std::optional<std::int32_t> end_of_turn() const;
  // What ends an answer: the model's tokens for that, and the template's, behind words and behind calls.
  std::vector<std::int32_t> ends() const;

 private:
  struct Encoded {
    Rendered rendered;
    std::vector<std::uint8_t> from_template;  // by byte
    std::vector<Token> tokens;
    std::vector<Turn> turns;
    std::vector<std::int32_t> ids() const;
  };
  TemplateInput input_of(const nlohmann::ordered_json& row) const;
  // A prompt; it has no turns.
  Encoded encode(const TemplateInput& input) const;
  // A row; `wanted` says which of its messages train.
  Encoded encode(const TemplateInput& input, const std::vector<std::uint8_t>& wanted, RowNotes& notes) const;
  // What the template ends each answer of the row with.
  std::vector<std::int32_t> ends_of(const Row& row) const;
  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_;
  MessageStyle style_;
};

}  // namespace shardlora
