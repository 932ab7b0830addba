#include "data/record_tokenizer.h"

#include <algorithm>

#include "data/row_tokens.h"
#include "data/rows/bad_rows.h"
#include "data/rows/row.h"
#include "data/template/text.h"

namespace shardlora {
namespace {

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

// Pieces of at most `length` tokens. A last token alone would have nothing before it to be predicted from.
std::vector<Sample> split(Sample&& whole, std::size_t length) {
  std::vector<Sample> parts;
  if (whole.tokens.size() <= length) {
    parts.push_back(std::move(whole));
    return parts;
  }
  for (std::size_t begin = 0; begin + 1 < whole.tokens.size(); begin += length) {
    const auto from = static_cast<std::ptrdiff_t>(begin);
    const auto to = static_cast<std::ptrdiff_t>(std::min(begin + length, whole.tokens.size()));
    parts.push_back({{whole.tokens.begin() + from, whole.tokens.begin() + to},
                     {whole.trained.begin() + from, whole.trained.begin() + to},
                     {},
                     0});
  }
  return parts;
}

bool trains_one_of(const Sample& sample, const std::vector<std::int32_t>& ends) {
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    if (sample.trained[i] != 0 && std::find(ends.begin(), ends.end(), sample.tokens[i]) != ends.end()) return true;
  }
  return false;
}

bool has_target(const Sample& sample) {
  return std::find(sample.trained.begin(), sample.trained.end(), 1) != sample.trained.end();
}

// Everything before the last piece that trains.
template <typename Pieces>
Pieces before_answer(const Pieces& record, std::string& answer) {
  Pieces asked = record;
  while (!asked.pieces.empty() && !asked.pieces.back().trained) asked.pieces.pop_back();
  if (asked.pieces.size() < 2) throw RowError("nothing is asked before what trains");
  answer = asked.pieces.back().text;
  asked.pieces.pop_back();
  return asked;
}

}  // namespace

Sample RecordTokenizer::sample_of(const PlainText& text) const {
  std::string all;
  std::vector<std::uint8_t> is_control;  // by byte: an EOS of ours, not its letters in the row
  std::vector<std::pair<std::size_t, bool>> ends;
  std::vector<std::uint32_t> seams;  // where an answer begins: before it stands what the model will be asked with
  for (const Piece& piece : text.pieces) {
    if (piece.trained && piece.ends && is_blank(piece.text))
      bad_row("{}; there is nothing to train but its end", text.split ? "an empty text" : "an empty answer");
    if (piece.trained && !ends.empty() && !ends.back().second) seams.push_back(static_cast<std::uint32_t>(all.size()));
    all += piece.text;
    is_control.resize(all.size(), 0);
    if (piece.ends) all += tokenizer_->bytes_of(tokenizer_->eos());
    is_control.resize(all.size(), 1);
    ends.emplace_back(all.size(), piece.trained);
  }
  Sample sample;
  if (text.bos && tokenizer_->bos_to_add()) {
    sample.tokens.push_back(*tokenizer_->bos_to_add());
    sample.trained.push_back(0);
  }
  auto piece = ends.begin();
  for (const Token& token : encode_row(*tokenizer_, all, is_control, seams)) {
    while (piece + 1 != ends.end() && token.begin >= piece->first) ++piece;
    sample.tokens.push_back(token.id);
    sample.trained.push_back(piece->second);
  }
  return sample;
}

Sample RecordTokenizer::sample_of(const Segments& segments) const {
  Sample sample;
  for (const Piece& piece : segments.pieces) {
    for (const Token& token : encode_row(*tokenizer_, piece.text)) sample.tokens.push_back(token.id);
    sample.trained.resize(sample.tokens.size(), piece.trained);
  }
  return sample;
}

Sample RecordTokenizer::sample_of(const TokenRow& row) const {
  for (const std::int32_t id : row.ids) {
    if (id >= tokenizer_->vocab_size())
      bad_row("token {} is outside the vocabulary of {}; the rows were made for another model", id,
              tokenizer_->vocab_size());
  }
  return {row.ids, row.trained, {}, 0};
}

const SampleMaker& RecordTokenizer::chat(const Row& row) const {
  if (chat_ == nullptr) fail("{}:{}: {}", row.source, row.line, why_no_chat_);
  return *chat_;
}

std::vector<Sample> RecordTokenizer::samples_of(const Row& row, const Record& record, const SampleOptions& options,
                                                RowNotes* notes) const {
  Sample whole;
  if (const auto* conversation = std::get_if<Conversation>(&record)) {
    whole = chat(row).sample_of({row.source, row.line, conversation->json}, options.train_on, notes);
  } else {
    whole = std::visit(
        Overloaded{[](const Conversation&) { return Sample{}; }, [&](const auto& other) { return sample_of(other); }},
        record);
    if (options.train_on.inputs) std::fill(whole.trained.begin(), whole.trained.end(), std::uint8_t{1});
  }
  const auto* text = std::get_if<PlainText>(&record);
  std::vector<Sample> samples;
  if (text != nullptr && text->split)
    samples = split(std::move(whole), static_cast<std::size_t>(options.sequence_len));
  else
    samples.push_back(std::move(whole));
  for (Sample& sample : samples) {
    sample.source = row.source;
    sample.line = row.line;
    if (!sample.trained.empty()) sample.trained[0] = 0;  // it has nothing before it to be predicted from
    if (!std::holds_alternative<Conversation>(record)) sample.ends = trains_one_of(sample, ends_);
  }
  if (std::none_of(samples.begin(), samples.end(), has_target)) throw RowError("nothing in it to train");
  return samples;
}

Prompt RecordTokenizer::prompt_of(const Row& row, const Record& record) const {
  Prompt prompt{{}, {}, row.source, row.line};
  std::visit(
      Overloaded{
          [&](const Conversation& conversation) {
            prompt = chat(row).prompt_of({row.source, row.line, conversation.json});
          },
          [&](const TokenRow&) { throw RowError("a row of tokens says nowhere where the answer begins"); },
          [&](const auto& pieces) { prompt.tokens = sample_of(before_answer(pieces, prompt.reference)).tokens; }},
      record);
  return prompt;
}

}  // namespace shardlora
