#include "data/sample_maker.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "data/generation_prompts.h"
#include "data/left_out.h"
#include "data/row_tokens.h"
#include "data/rows/bad_rows.h"
#include "data/rows/row.h"
#include "data/template/template_input.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::uint8_t> template_bytes(const Rendered& rendered) {
  std::vector<std::uint8_t> mask(rendered.text.size());
  for (const Rendered::Range& range : rendered.ranges) {
    if (range.origin.kind == Origin::Kind::kTemplate)
      std::fill(mask.begin() + range.begin, mask.begin() + range.end, std::uint8_t{1});
  }
  return mask;
}

std::string text_of(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) return "";
  if (content->is_string()) return content->get<std::string>();
  std::string text;
  for (const Json& part : *content) text += part.at("text").get<std::string>();
  return text;
}

// What an assistant thought stands under three names; templates look for the first or the second, as transformers sees
// to it.
void name_thoughts(Json& message) {
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    const auto found = message.find(name);
    if (found == message.end() || found->is_null()) continue;
    const Json thoughts = *found;  // NOLINT(performance-unnecessary-copy-initialization): adding keys moves the rest
    message["reasoning_content"] = thoughts;
    if (!message.contains("thinking")) message["thinking"] = thoughts;
    return;
  }
}

TemplateInput settings_of(const Tokenizer& tokenizer) {
  TemplateInput settings;
  if (tokenizer.bos()) settings.bos_token = tokenizer.bytes_of(*tokenizer.bos());
  settings.eos_token = tokenizer.bytes_of(tokenizer.eos());
  return settings;
}

Rendered render(const ChatTemplate& chat, const TemplateInput& input) {
  try {
    return chat.render(input);
  } catch (const Error& error) {
    throw RowError(fmt::format("the chat template refuses it: {}", error.what()));
  }
}

}  // namespace

SampleMaker::SampleMaker(const Tokenizer& tokenizer, const ChatTemplate& chat)
    : tokenizer_(tokenizer), chat_(chat), style_(chat, settings_of(tokenizer)) {}

TemplateInput SampleMaker::input_of(const Json& row) const {
  TemplateInput input = settings_of(tokenizer_);
  input.messages = row.at("messages");
  for (Json& message : input.messages) {
    name_thoughts(message);
    style_.apply(message);
  }
  if (const auto tools = row.find("tools"); tools != row.end()) input.tools = *tools;
  if (const auto variables = row.find("chat_template_kwargs"); variables != row.end()) input.variables = *variables;
  return input;
}

std::vector<std::int32_t> SampleMaker::Encoded::ids() const {
  std::vector<std::int32_t> out;
  for (const Token& token : tokens) out.push_back(token.id);
  return out;
}

SampleMaker::Encoded SampleMaker::encode(const TemplateInput& input) const {
  Encoded prompt{render(chat_, input), {}, {}, {}};
  prompt.from_template = template_bytes(prompt.rendered);
  prompt.tokens = encode_row(tokenizer_, prompt.rendered.text, prompt.from_template);
  return prompt;
}

SampleMaker::Encoded SampleMaker::encode(const TemplateInput& input, const std::vector<std::uint8_t>& wanted,
                                         RowNotes& notes) const {
  check_said(input.messages, wanted);
  Encoded row{render(chat_, input), {}, {}, {}};
  check_written(chat_, input, row.rendered, wanted, notes);
  row.from_template = template_bytes(row.rendered);
  row.turns = turns_of(chat_, row.rendered, input.messages);
  const std::vector<std::uint32_t> seams =
      begin_turns(row.turns, chat_, input, row.rendered, row.from_template, wanted, notes);
  row.tokens = encode_row(tokenizer_, row.rendered.text, row.from_template, seams);
  find_ends(row.turns, row.rendered, row.from_template, row.tokens, tokenizer_);
  return row;
}

Sample SampleMaker::sample_of(const Row& row, const TrainOn& train_on, RowNotes* notes) const {
  RowNotes unheard;
  const TemplateInput input = input_of(row.json);
  const std::vector<std::uint8_t> wanted = wanted_of(input.messages, train_on);
  const Encoded encoded = encode(input, wanted, notes == nullptr ? unheard : *notes);
  Sample sample{encoded.ids(), trained_tokens(encoded.turns, encoded.tokens, wanted, train_on), row.source, row.line};
  for (const Turn& turn : encoded.turns)
    sample.ends = sample.ends || (turn.end_token && sample.trained[*turn.end_token] != 0);
  if (std::find(sample.trained.begin(), sample.trained.end(), 1) == sample.trained.end())
    throw RowError(
        fmt::format("nothing in it to train: the chat template shows no word of {}",
                    train_on.roles.empty() ? "anybody" : fmt::format("{}", fmt::join(train_on.roles, ", "))));
  return sample;
}

std::vector<std::int32_t> SampleMaker::tokens_of(const Json& messages) const {
  TemplateInput input = input_of({{"messages", messages}});
  input.add_generation_prompt = true;
  return encode(input).ids();
}

Prompt SampleMaker::prompt_of(const Row& row) const {
  TemplateInput input = input_of(row.json);
  Json& messages = input.messages;
  std::size_t last = messages.size();
  while (last > 0 && messages[last - 1].at("role") != "assistant") --last;
  if (last <= 1) throw RowError("nothing is asked before the assistant's last message");
  Prompt prompt{{}, text_of(messages[last - 1]), row.source, row.line};
  messages.erase(messages.begin() + static_cast<std::ptrdiff_t>(last) - 1, messages.end());
  input.add_generation_prompt = true;
  prompt.tokens = encode(input).ids();
  return prompt;
}

}  // namespace shardlora
