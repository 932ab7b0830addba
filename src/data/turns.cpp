#include "data/turns.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/rows/bad_rows.h"
#include "data/rows/row.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

bool is_assistant(const Json& messages, std::int32_t message) {
  return message < 0 || messages[static_cast<std::size_t>(message)].at("role") == "assistant";
}

// Runs of content of one message, until another message comes. A turn that says nothing is an empty span.
std::vector<Turn> content_turns(const Rendered& rendered) {
  std::vector<Turn> turns;
  std::int32_t open = -1;  // the message whose turn is the last of `turns` and may still grow
  for (const Rendered::Range& range : rendered.ranges) {
    if (range.origin.message < 0) continue;
    if (range.origin.message != open) open = -1;
    if (range.origin.kind != Origin::Kind::kContent) continue;
    if (open < 0) turns.push_back({range.origin.message, range.begin, range.end, range.end});
    open = range.origin.message;
    turns.back().end = turns.back().said_end = range.end;
  }
  return turns;
}

std::vector<Turn> block_turns(const Rendered& rendered) {
  std::vector<Turn> turns;
  std::int32_t open = 0;
  for (const Rendered::Range& range : rendered.ranges) {
    const Origin& origin = range.origin;
    if (origin.generation == 0) continue;
    if (origin.generation != open) turns.push_back({-1, range.begin, range.end, range.begin, true});
    open = origin.generation;
    Turn& turn = turns.back();
    turn.end = range.end;
    if (origin.kind != Origin::Kind::kContent) continue;
    turn.message = origin.message;
    turn.said_end = range.end;
  }
  return turns;
}

auto token_at(const std::vector<Token>& tokens, std::uint32_t offset) {
  return std::lower_bound(tokens.begin(), tokens.end(), offset,
                          [](const Token& token, std::uint32_t byte) { return token.begin < byte; });
}

}  // namespace

std::vector<Turn> turns_of(const ChatTemplate& chat, const Rendered& rendered, const Json& messages) {
  std::vector<Turn> turns = content_turns(rendered);
  if (!chat.has_generation()) return turns;
  std::erase_if(turns, [&](const Turn& turn) { return is_assistant(messages, turn.message); });
  const std::vector<Turn> blocks = block_turns(rendered);
  turns.insert(turns.end(), blocks.begin(), blocks.end());
  std::sort(turns.begin(), turns.end(), [](const Turn& a, const Turn& b) { return a.begin < b.begin; });
  return turns;
}

void find_ends(std::vector<Turn>& turns, const Rendered& rendered, const std::vector<std::uint8_t>& from_template,
               const std::vector<Token>& tokens, const Tokenizer& tokenizer) {
  const std::vector<std::int32_t>& ends = tokenizer.ends();
  const auto is_control = [&](auto token) {
    return token != tokens.end() && from_template[token->begin] != 0 && tokenizer.is_control(token->id);
  };
  for (Turn& turn : turns) {
    auto token = token_at(tokens, turn.said_end);
    while (token != tokens.end() && from_template[token->begin] != 0 && !tokenizer.is_control(token->id)) ++token;
    if (is_control(token)) {
      // "<|/tool_call|><|end|>": the second is the end.
      auto known = token;
      while (is_control(known) && std::find(ends.begin(), ends.end(), known->id) == ends.end() &&
             known + 1 != tokens.end() && (known + 1)->begin == known->end)
        ++known;
      const bool is_end = is_control(known) && std::find(ends.begin(), ends.end(), known->id) != ends.end();
      turn.end_token = static_cast<std::size_t>((is_end ? known : token) - tokens.begin());
    }
    // What closes a call is the model's to write, also where no token that trains comes behind it.
    if (turn.block || !turn.written_end) continue;
    const std::size_t last = rendered.text.find_last_not_of(" \t\r\n", *turn.written_end - 1);
    const std::uint32_t closed = turn.end_token ? tokens[*turn.end_token].begin : static_cast<std::uint32_t>(last + 1);
    turn.end = std::max(turn.end, closed);
  }
}

namespace {

bool trains(const Json& message, std::size_t index, const TrainOn& what) {
  const auto train = message.find("train"), weight = message.find("weight");
  if (train != message.end() && !train->is_null()) {
    if (!train->is_boolean())
      throw RowError(fmt::format("message {}: train must be true or false, not {}", index + 1, train->dump()));
    return train->get<bool>();
  }
  if (weight != message.end() && !weight->is_null()) {
    if (!weight->is_number() || (weight->get<double>() != 0 && weight->get<double>() != 1))
      throw RowError(fmt::format("message {}: weight must be 0 or 1, not {}", index + 1, weight->dump()));
    if (weight->get<double>() == 0) return false;
  }
  const auto& role = message.at("role").get_ref<const std::string&>();
  return std::find(what.roles.begin(), what.roles.end(), role) != what.roles.end();
}

}  // namespace

std::vector<std::uint8_t> wanted_of(const Json& messages, const TrainOn& what) {
  std::vector<std::uint8_t> wanted;
  for (const Json& message : messages) wanted.push_back(trains(message, wanted.size(), what) ? 1 : 0);
  return wanted;
}

std::vector<std::uint8_t> trained_tokens(const std::vector<Turn>& turns, const std::vector<Token>& tokens,
                                         const std::vector<std::uint8_t>& wanted, const TrainOn& what) {
  std::vector<std::uint8_t> trained(tokens.size(), what.inputs ? 1 : 0);
  const bool blocks = std::find(what.roles.begin(), what.roles.end(), "assistant") != what.roles.end();
  std::optional<std::size_t> last;
  for (const Turn& turn : turns) {
    if (turn.end_token) last = turn.end_token;
  }
  const auto index_of = [&](std::uint32_t byte) {
    return static_cast<std::size_t>(token_at(tokens, byte) - tokens.begin());
  };
  for (const Turn& turn : turns) {
    const bool wants = turn.message < 0 ? blocks : wanted[static_cast<std::size_t>(turn.message)] != 0;
    // A block says itself how far it goes.
    const bool inside = !turn.block || (turn.end_token && tokens[*turn.end_token].begin < turn.end);
    const bool ends =
        turn.end_token && (what.eos == TrainOnEos::kAll || (what.eos == TrainOnEos::kTurn && wants && inside) ||
                           (what.eos == TrainOnEos::kLast && turn.end_token == last));
    if (wants) {
      std::size_t end = index_of(turn.end);
      if (ends && !turn.block) end = *turn.end_token;
      if (turn.end_token && !ends) end = std::min(end, *turn.end_token);
      for (std::size_t i = index_of(turn.begin); i < end; ++i) trained[i] = 1;
    }
    if (ends) trained[*turn.end_token] = 1;
  }
  if (!trained.empty()) trained[0] = 0;
  return trained;
}

}  // namespace shardlora
