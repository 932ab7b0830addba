#include "data/sample.h"

#include <algorithm>

#include "io/json.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

bool trains(const Json& message) {
  if (message.at("role") != "assistant") return false;
  const auto train = message.find("train"), weight = message.find("weight");
  if (train != message.end() && train->is_boolean() && !train->get<bool>()) return false;
  return weight == message.end() || !weight->is_number() || weight->get<double>() != 0;
}

struct Span {
  std::uint32_t begin, end;
};

// What every trained turn says: runs of content of one message, with the template's text between them, until another
// message comes. A turn that says nothing is an empty span.
std::vector<Span> turns_of(const Rendered& rendered, const Json& messages) {
  std::vector<Span> turns;
  std::int32_t open = -1;  // the message whose span is the last of `turns` and may still grow
  for (const Rendered::Range& range : rendered.ranges) {
    if (range.origin.message < 0) continue;
    const bool content = range.origin.kind == Origin::Kind::kContent;
    if (range.origin.message != open) open = -1;
    if (!content || !trains(messages[static_cast<std::size_t>(range.origin.message)])) continue;
    if (open < 0) turns.push_back({range.begin, range.end});
    open = range.origin.message;
    turns.back().end = range.end;
  }
  return turns;
}

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

// A list, or its JSON as text.
Json tools_of(const Json& tools) {
  if (!tools.is_string()) return tools;
  try {
    return parse_ordered_json(tools.get_ref<const std::string&>(), "tools");
  } catch (const Error& error) {
    throw RowError(error.what());
  }
}

Rendered render(const ChatTemplate& chat, const TemplateInput& input) {
  try {
    return chat.render(input);
  } catch (const Error& error) {
    throw RowError(fmt::format("the chat template refuses it: {}", error.what()));
  }
}

}  // namespace

ChatTemplate chat_template_of(const Tokenizer& tokenizer) {
  if (tokenizer.chat_template().empty()) fail("{}", kNoChatTemplate);
  return {tokenizer.chat_template(), "chat template"};
}

SampleMaker::SampleMaker(const Tokenizer& tokenizer, const ChatTemplate& chat) : tokenizer_(tokenizer), chat_(chat) {}

TemplateInput SampleMaker::input_of(const Json& row) const {
  TemplateInput input;
  input.messages = row.at("messages");
  if (const auto tools = row.find("tools"); tools != row.end()) input.tools = tools_of(*tools);
  if (const auto variables = row.find("chat_template_kwargs"); variables != row.end() && variables->is_object())
    input.variables = *variables;
  if (tokenizer_.bos()) input.bos_token = tokenizer_.bytes_of(*tokenizer_.bos());
  input.eos_token = tokenizer_.bytes_of(tokenizer_.eos());
  return input;
}

Sample SampleMaker::sample_of(const Row& row, bool train_on_inputs) const {
  const Rendered rendered = render(chat_, input_of(row.json));
  const std::vector<std::uint8_t> from_template = template_bytes(rendered);
  const std::vector<Token> tokens = tokenizer_.encode(rendered.text, from_template);

  Sample sample{{}, std::vector<std::uint8_t>(tokens.size(), train_on_inputs ? 1 : 0), row.source, row.line};
  for (const Token& token : tokens) sample.tokens.push_back(token.id);
  for (const Span& turn : turns_of(rendered, row.json.at("messages"))) {
    const auto begins_before = [](const Token& token, std::uint32_t offset) { return token.begin < offset; };
    auto token = std::lower_bound(tokens.begin(), tokens.end(), turn.begin, begins_before);
    const auto after = std::lower_bound(token, tokens.end(), turn.end, begins_before);
    // The end of the turn: the first control token behind it, unless a message speaks before that.
    auto end = after;
    while (end != tokens.end() && from_template[end->begin] != 0 && !tokenizer_.is_control(end->id)) ++end;
    const bool found = end != tokens.end() && from_template[end->begin] != 0;
    for (const auto last = found ? end + 1 : after; token != last; ++token)
      sample.trained[static_cast<std::size_t>(token - tokens.begin())] = 1;
  }
  // The first token has nothing before it to be predicted from.
  if (!sample.trained.empty()) sample.trained[0] = 0;
  if (std::find(sample.trained.begin(), sample.trained.end(), 1) == sample.trained.end())
    throw RowError("nothing in it to train: the chat template shows no word of the assistant");
  return sample;
}

std::vector<std::int32_t> SampleMaker::tokens_of(const Json& messages) const {
  TemplateInput input = input_of({{"messages", messages}});
  input.add_generation_prompt = true;
  const Rendered rendered = render(chat_, input);
  std::vector<std::int32_t> ids;
  for (const Token& token : tokenizer_.encode(rendered.text, template_bytes(rendered))) ids.push_back(token.id);
  return ids;
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
  const Rendered rendered = render(chat_, input);
  for (const Token& token : tokenizer_.encode(rendered.text, template_bytes(rendered)))
    prompt.tokens.push_back(token.id);
  return prompt;
}

}  // namespace shardlora
