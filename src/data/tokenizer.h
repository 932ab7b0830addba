// Text to token ids and back: BPE as `tokenizers` does it, byte-level or SentencePiece-like, from a Hugging Face folder
// or a GGUF file. Every token knows which bytes of the text it came from: they follow one another without overlap, and
// without gap but for what a model leaves out (SmolLM2 has no token for U+0004; a file may strip or remove text). What
// normalisation puts in comes from nowhere (Llama 2's first space is 0 bytes long), what it rewrites from what was
// there. Nothing is added (no BOS). Const calls may run in parallel.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/parts.h"

namespace shardlora {

struct Token {
  std::int32_t id;
  std::uint32_t begin, end;  // byte offsets into the text given
  bool operator==(const Token&) const = default;
};

class Tokenizer {
 public:
  // A .gguf file, or a folder with tokenizer.json. What is in it and not supported is an Error that names it.
  static Tokenizer open(const std::filesystem::path& model);

  // Control tokens (<|im_start|>) are matched in the text only where every byte of the match has
  // may_be_control[byte] != 0; an empty span allows them everywhere. Elsewhere their letters are encoded as text.
  // Other added tokens (<think>) are matched everywhere. Text that is not UTF-8 is an Error.
  // At a seam, a byte offset, what comes before has its own ids, as though nothing followed, and what comes behind goes
  // on from there: no token lies across, and nothing is put in front of it as at the beginning of a text.
  std::vector<Token> encode(std::string_view text, std::span<const std::uint8_t> may_be_control = {},
                            std::span<const std::uint32_t> seams = {}) const;

  // Valid UTF-8: bytes that make no character (a character cut in two) become U+FFFD. Ids that the vocabulary lacks
  // give nothing: a model's table may be longer than its vocabulary.
  std::string decode(std::span<const std::int32_t> ids, bool skip_control = false) const;
  // The bytes that a token stands for; they need not be whole characters.
  std::string_view bytes_of(std::int32_t id) const;

  std::int32_t vocab_size() const { return vocabulary_->size(); }                 // the greatest id + 1
  std::int32_t eos() const { return *special_.eos; }                              // what templates call eos_token
  const std::vector<std::int32_t>& ends() const { return special_.ends; }         // what ends an answer, eos() first
  std::optional<std::int32_t> bos() const { return special_.bos; }                // what templates call bos_token
  std::optional<std::int32_t> bos_to_add() const { return special_.bos_to_add; }  // what raw text wants in front
  bool is_control(std::int32_t id) const;
  // The token spelt as in the vocabulary: "<|im_end|>", "\u0120the".
  std::optional<std::int32_t> id_of(std::string_view token) const { return vocabulary_->id_of(token); }
  const std::string& chat_template() const;  // the one named "default", else the only one; empty where there is none
  const std::map<std::string, std::string>& chat_templates() const { return chat_templates_; }  // by name

 private:
  friend class StreamDecoder;
  explicit Tokenizer(TokenizerParts parts);
  // `goes_on`: text comes right before it.
  void encode_piece(AlignedText piece, bool goes_on, std::span<const std::uint8_t> may_be_control,
                    std::vector<Token>& tokens) const;
  void encode_words(AlignedText piece, bool goes_on, std::vector<Token>& tokens) const;

  std::shared_ptr<const Vocabulary> vocabulary_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
  AddedTokens raw_, normalized_;
  Decoder decoder_;
  std::vector<std::string> bytes_;     // [id]
  std::vector<std::uint8_t> control_;  // [id]
  SpecialIds special_;
  std::map<std::string, std::string> chat_templates_;
};

// Decodes an answer while it grows. What the calls give, one after the other, is what Tokenizer::decode makes of all
// ids; text is given as soon as it is whole characters that no later token can change.
class StreamDecoder {
 public:
  // The tokenizer must outlive it.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_control = false)
      : tokenizer_(tokenizer), skip_control_(skip_control), stream_(tokenizer.decoder_) {}
  std::string add(std::int32_t id);  // what has become certain, often nothing
  std::string finish();              // the rest; nothing may be added after it

 private:
  const Tokenizer& tokenizer_;
  bool skip_control_;
  Decoder::Stream stream_;
};

}  // namespace shardlora
