// A sample: one row as the model sees it, tokens and which of them are targets. Made by the model's own chat template,
// which knows for every character whether it is the template's or the row's:
//  - trained are an assistant turn's content and the template's text after it up to and including its first control
//  token
//    (the end of the turn), not the role header and not what follows the end; a token trains if its first byte does;
//  - control tokens come from the template's text only; the same letters in a row are encoded as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/rows/row.h"
#include "data/template/chat_template.h"
#include "data/tokenizer.h"

namespace shardlora {

// What to do with a row of more than sequence_len tokens.
enum class ExcessLength : std::uint8_t { kTruncate, kDrop, kError };

struct Sample {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> trained;  // trained[i]: token i is a target
  std::string source;                 // file of the row
  std::int64_t line = 0;              // and its line, from 1
};

// What is asked of the model at a row's last assistant turn, and what the row answers.
struct Prompt {
  std::vector<std::int32_t> tokens;  // ends where the answer begins
  std::string reference;
  std::string source;
  std::int64_t line = 0;
};

struct SampleOptions {
  std::int64_t sequence_len = 2048;
  bool train_on_inputs = false;        // every token trains
  std::optional<ExcessLength> excess;  // not given: cut, as long as at most 1 % of the rows need it
};

class SampleMaker {
 public:
  // Both must outlive the maker. A tokenizer without a chat template is an Error.
  SampleMaker(const Tokenizer& tokenizer, const ChatTemplate& chat);

  // The whole row, uncut. Throws RowError where the row has nothing to train or the template refuses it.
  Sample sample_of(const Row& row, bool train_on_inputs = false) const;
  Prompt prompt_of(const Row& row) const;
  // A prompt of one's own: [{"role": "user", "content": "Hi"}], ready for the answer.
  std::vector<std::int32_t> tokens_of(const nlohmann::ordered_json& messages) const;

 private:
  TemplateInput input_of(const nlohmann::ordered_json& row) const;
  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_;
};

inline constexpr const char* kNoChatTemplate =
    "the model has no chat template (tokenizer.chat_template); take the instruct version of the model";

// The variables that a template may use besides the row's.
ChatTemplate chat_template_of(const Tokenizer& tokenizer);

}  // namespace shardlora
