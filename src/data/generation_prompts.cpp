#include "data/generation_prompts.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"

namespace shardlora {
namespace {

using Json = nlohmann::ordered_json;

// The messages before `message`, asked for an answer or not. Nothing: the template refuses that.
std::optional<Rendered> render_before(const ChatTemplate& chat, const TemplateInput& input, std::int32_t message,
                                      bool ask) {
  TemplateInput before = input;
  before.messages.erase(before.messages.begin() + message, before.messages.end());
  before.add_generation_prompt = ask;
  try {
    return chat.render(before);
  } catch (const Error&) {
    return {};
  }
}

std::size_t character_begin(std::string_view text, std::size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

// How far two texts are the same. Where they part inside a word or mark ("<think>", "<tool_call>"), up to that.
std::size_t common_prefix(std::string_view a, std::string_view b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  auto same = static_cast<std::size_t>(end - a.begin());
  if (same == a.size()) return same;
  while (same > 0 && std::string_view(" \n\t>]):").find(a[same - 1]) == std::string_view::npos) --same;
  return same;
}

// Some text from `at` on, on one line.
std::string excerpt(std::string_view text, std::size_t at) {
  constexpr std::size_t kBytes = 60;
  if (at >= text.size()) return "nothing";
  const std::size_t begin = character_begin(text, at);
  return Json(text.substr(begin, character_begin(text, std::min(begin + kBytes, text.size())) - begin)).dump();
}

// The text behind the last byte of `message` that lies before `limit`. Nothing: the message isn't there.
std::optional<std::size_t> behind(const Rendered& rendered, std::int32_t message, std::size_t limit) {
  std::optional<std::size_t> end;
  for (const Rendered::Range& range : rendered.ranges) {
    if (range.origin.message == message && range.end <= limit) end = range.end;
  }
  return end;
}

// Nothing of another message comes between the prompt and what the turn says.
bool belongs_to_turn(const Rendered& row, std::size_t begin, const Turn& turn) {
  if (begin > turn.said_end) return false;
  return std::none_of(row.ranges.begin(), row.ranges.end(), [&](const Rendered::Range& range) {
    return range.origin.message >= 0 && range.origin.message != turn.message && range.begin < turn.begin &&
           range.end > begin && range.begin < range.end;
  });
}

// Where a row that goes another way before the last message still goes on as the prompt does behind it. If only the
// beginning of the generation prompt is there ("<|assistant|>" without its "<think>"), where that ends.
std::optional<std::size_t> where_they_part(const ChatTemplate& chat, const TemplateInput& input, const Rendered& row,
                                           const Rendered& prompt, const Turn& turn) {
  const auto in_prompt = behind(prompt, turn.message - 1, prompt.text.size());
  const auto in_row = behind(row, turn.message - 1, turn.begin);
  if (!in_prompt || !in_row) return {};
  const std::string_view asked = std::string_view(prompt.text).substr(*in_prompt);
  const std::size_t same = common_prefix(asked, std::string_view(row.text).substr(*in_row));
  if (same == asked.size()) return *in_row + same;
  const auto plain = render_before(chat, input, turn.message, false);
  const auto in_plain = plain ? behind(*plain, turn.message - 1, plain->text.size()) : std::nullopt;
  if (!in_plain) return {};
  const std::string_view closing = std::string_view(plain->text).substr(*in_plain);
  if (!asked.starts_with(closing) || same <= closing.size()) return {};
  return std::min(*in_row + same, static_cast<std::size_t>(turn.begin));
}

bool calls(const Json& message) { return message.contains("tool_calls") || message.contains("function_call"); }

// Finds where the template is done with a message that calls: what comes behind (the name of what was called, in front
// of its result) is another's, though the message says it.
void end_call(Turn& turn, const ChatTemplate& chat, const TemplateInput& input, const Rendered& row) {
  const bool is_last = static_cast<std::size_t>(turn.message) + 1 == input.messages.size();
  const auto until = is_last ? std::nullopt : render_before(chat, input, turn.message + 1, false);
  if (!is_last && (!until || !row.text.starts_with(until->text))) return;
  turn.written_end = static_cast<std::uint32_t>(is_last ? row.text.size() : until->text.size());
  std::uint32_t end = turn.begin;
  for (const Rendered::Range& range : row.ranges) {
    const bool said = range.origin.kind == Origin::Kind::kContent && range.origin.message == turn.message;
    if (said && range.begin >= turn.begin && range.end <= *turn.written_end) end = range.end;
  }
  turn.end = turn.said_end = end;
}

std::string difference(const Rendered& row, const Rendered& prompt, const Turn& turn) {
  const std::size_t at = common_prefix(prompt.text, row.text);
  return fmt::format("message {}: the prompt goes on with {}, the row with {}", turn.message + 1,
                     excerpt(prompt.text, at), excerpt(row.text, at));
}

}  // namespace

std::vector<std::uint32_t> begin_turns(std::vector<Turn>& turns, const ChatTemplate& chat, const TemplateInput& input,
                                       const Rendered& rendered, const std::vector<std::uint8_t>& from_template,
                                       const std::vector<std::uint8_t>& wanted, RowNotes& notes) {
  std::vector<std::uint32_t> seams;
  std::vector<std::int32_t> begun;  // messages whose one turn was found
  const auto note = [&](std::string text) {
    if (!notes.asked_otherwise) notes.asked_otherwise = std::move(text);
  };
  const auto take_blanks_before = [&](Turn& turn) {
    while (turn.begin > 0 && rendered.text[turn.begin - 1] == ' ' && from_template[turn.begin - 1] != 0) --turn.begin;
  };
  for (Turn& turn : turns) {
    const auto message = static_cast<std::size_t>(turn.message);
    if (turn.message < 0 || wanted[message] == 0 || input.messages[message].at("role") != "assistant") {
      take_blanks_before(turn);
      continue;
    }
    if (std::find(begun.begin(), begun.end(), turn.message) != begun.end()) continue;
    if (!turn.block && calls(input.messages[message])) end_call(turn, chat, input, rendered);
    std::optional<std::size_t> begin;
    const std::optional<Rendered> prompt = render_before(chat, input, turn.message, true);
    if (prompt && rendered.text.starts_with(prompt->text)) {
      begin = prompt->text.size();
    } else if (prompt) {
      note(difference(rendered, *prompt, turn));
      begin = where_they_part(chat, input, rendered, *prompt, turn);
    }
    if (begin && !belongs_to_turn(rendered, *begin, turn)) begin.reset();
    const bool is_block_begin = turn.block && begin == turn.begin;
    if (begin && !turn.block) turn.begin = static_cast<std::uint32_t>(*begin);
    if (!begin || (turn.block && !is_block_begin)) take_blanks_before(turn);
    if (prompt && turn.block && begin && *begin != turn.begin)
      note(*begin < turn.begin
               ? fmt::format("message {}: behind the prompt the row goes on with {}, which does not train",
                             turn.message + 1, excerpt(rendered.text, *begin))
               : fmt::format("message {}: {} of the prompt trains", turn.message + 1,
                             excerpt(std::string_view(rendered.text).substr(0, *begin), turn.begin)));
    seams.push_back(begin ? static_cast<std::uint32_t>(*begin) : turn.begin);
    if (begin && !turn.block) begun.push_back(turn.message);
  }
  // What a later message repeats of a turn (the name of what was called) is that message's.
  std::vector<std::int32_t> kept;
  std::erase_if(turns, [&](const Turn& turn) {
    if (std::find(begun.begin(), begun.end(), turn.message) == begun.end()) return false;
    if (std::find(kept.begin(), kept.end(), turn.message) != kept.end()) return true;
    kept.push_back(turn.message);
    return false;
  });
  std::sort(seams.begin(), seams.end());
  return seams;
}

}  // namespace shardlora
