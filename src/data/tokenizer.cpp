#include "data/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "io/gguf.h"

namespace shardlora {
namespace {

void check_utf8(std::string_view text) {
  if (text.size() > 0xFFFFFFF0ULL) fail("a text of {} bytes, at most 4 GiB can be tokenized", text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    if (!c.valid) fail("the text is not UTF-8 at byte {}; convert the file to UTF-8", at);
    at += c.length;
  }
}

}  // namespace

Tokenizer Tokenizer::open(const std::filesystem::path& model) {
  if (!std::filesystem::is_directory(model)) return Tokenizer(tokenizer_parts(GgufFile(model)));
  const std::filesystem::path metadata = model / kGgufMetadata;
  if (std::filesystem::exists(metadata)) return Tokenizer(tokenizer_parts(GgufFile(metadata)));
  return Tokenizer(tokenizer_parts_of_folder(model));
}

Tokenizer::Tokenizer(TokenizerParts parts)
    : vocabulary_(parts.vocabulary),
      normalizer_(std::move(parts.normalizer)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)),
      bpe_(parts.vocabulary, std::move(parts.usable), parts.merges, parts.options),
      raw_(std::move(parts.raw)),
      normalized_(std::move(parts.normalized)),
      decoder_(std::move(parts.decoder)),
      control_(std::move(parts.control)),
      special_(std::move(parts.special)),
      chat_templates_(std::move(parts.chat_templates)) {
  bytes_.reserve(control_.size());
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const std::string& token = vocabulary_->token(id);
    bytes_.push_back(parts.added[static_cast<std::size_t>(id)] != 0 ? token : decoder_.bytes_of(token));
  }
  std::vector<std::int32_t>& ends = special_.ends;
  if (!special_.eos) {
    if (ends.empty())
      fail("{}: nothing says which token ends a text; give eos_token in tokenizer_config.json", parts.what);
    special_.eos = ends.front();
  }
  ends.insert(ends.begin(), *special_.eos);
  for (auto id = ends.begin() + 1; id != ends.end();)
    id = std::find(ends.begin(), id, *id) != id ? ends.erase(id) : id + 1;
}

std::vector<Token> Tokenizer::encode(std::string_view text, std::span<const std::uint8_t> may_be_control,
                                     std::span<const std::uint32_t> seams) const {
  CHECK(may_be_control.empty() || may_be_control.size() == text.size(), "{} flags for {} bytes", may_be_control.size(),
        text.size());
  check_utf8(text);
  std::vector<Token> tokens;
  const auto may = [&](std::size_t begin, std::size_t end) {
    const auto allowed = [](std::uint8_t flag) { return flag != 0; };
    return may_be_control.empty() || std::all_of(may_be_control.begin() + static_cast<std::ptrdiff_t>(begin),
                                                 may_be_control.begin() + static_cast<std::ptrdiff_t>(end), allowed);
  };
  bool behind_text = false;  // rather than behind an added token, or nothing
  const auto encode_part = [&](std::size_t from, std::size_t to) {
    raw_.cut(
        text.substr(from, to - from), [&](std::size_t begin, std::size_t end) { return may(from + begin, from + end); },
        [&](std::size_t begin, std::size_t end) {
          encode_piece(AlignedText(text.substr(from + begin, end - begin), from + begin), behind_text && begin == 0,
                       may_be_control, tokens);
          behind_text = true;
        },
        [&](const AddedToken& token, std::size_t begin, std::size_t end) {
          tokens.push_back(
              {token.id, static_cast<std::uint32_t>(from + begin), static_cast<std::uint32_t>(from + end)});
          behind_text = false;
        });
  };
  std::size_t from = 0;
  for (const std::uint32_t seam : seams) {
    CHECK(from <= seam && seam <= text.size(), "a seam at byte {} behind one at {}", seam, from);
    encode_part(from, seam);
    from = seam;
  }
  encode_part(from, text.size());
  return tokens;
}

void Tokenizer::encode_piece(AlignedText raw, bool goes_on, std::span<const std::uint8_t> may_be_control,
                             std::vector<Token>& tokens) const {
  AlignedText piece = normalizer_.apply(std::move(raw), goes_on);
  if (normalized_.empty()) return encode_words(std::move(piece), goes_on, tokens);
  const auto may = [&](std::size_t begin, std::size_t end) {
    for (std::uint32_t at = piece.origin(begin); !may_be_control.empty() && at < piece.origin(end); ++at)
      if (may_be_control[at] == 0) return false;
    return true;
  };
  normalized_.cut(
      piece.text(), may,
      [&](std::size_t begin, std::size_t end) { encode_words(piece.part(begin, end), goes_on && begin == 0, tokens); },
      [&](const AddedToken& token, std::size_t begin, std::size_t end) {
        tokens.push_back({token.id, piece.origin(begin), piece.origin(end)});
      });
}

void Tokenizer::encode_words(AlignedText piece, bool goes_on, std::vector<Token>& tokens) const {
  const Words words = pre_tokenizer_.apply(std::move(piece), goes_on);
  const std::string_view text = words.text.text();
  std::vector<Symbol> symbols;
  for (const TextRange& word : words.ranges) {
    symbols.clear();
    bpe_.encode(text.substr(word.begin, word.end - word.begin), symbols);
    for (const Symbol& s : symbols)
      tokens.push_back({s.id, words.text.origin(word.begin + s.begin), words.text.origin(word.begin + s.end)});
  }
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_control) const {
  StreamDecoder stream(*this, skip_control);
  std::string text;
  for (const std::int32_t id : ids) text += stream.add(id);
  return text + stream.finish();
}

std::string StreamDecoder::add(std::int32_t id) {
  if (tokenizer_.vocabulary_->has(id) && !(skip_control_ && tokenizer_.is_control(id)))
    stream_.take(tokenizer_.vocabulary_->token(id));
  return std::exchange(stream_.text, {});
}

std::string StreamDecoder::finish() {
  stream_.finish();
  return std::exchange(stream_.text, {});
}

std::string_view Tokenizer::bytes_of(std::int32_t id) const {
  CHECK(id >= 0 && id < vocab_size(), "token {} of a vocabulary of {}", id, vocab_size());
  return bytes_[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_control(std::int32_t id) const {
  CHECK(id >= 0 && id < vocab_size(), "token {} of a vocabulary of {}", id, vocab_size());
  return control_[static_cast<std::size_t>(id)] != 0;
}

const std::string& Tokenizer::chat_template() const {
  static const std::string none;
  const auto found = chat_templates_.find("default");
  if (found != chat_templates_.end()) return found->second;
  return chat_templates_.size() == 1 ? chat_templates_.begin()->second : none;
}

}  // namespace shardlora
