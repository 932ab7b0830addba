// Text to token ids and back: byte-level BPE as `tokenizers` does it, from the vocabulary inside a GGUF file.
// Every token knows which bytes of the text it came from: they follow one another without overlap, and without gap but
// for bytes that the vocabulary lacks (SmolLM2 has no token for U+0004), which vanish as in `tokenizers`.
// Nothing is added (no BOS). Const calls may run in parallel.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/added_tokens.h"
#include "data/bpe.h"
#include "data/pre_tokenizer.h"
#include "io/gguf.h"

namespace shardlora {

struct Token {
  std::int32_t id;
  std::uint32_t begin, end;  // byte offsets into the text given
  bool operator==(const Token&) const = default;
};

class Tokenizer {
 public:
  // `model` is a .gguf file (`tokenizer.ggml.model` gpt2 with `tokenizer.ggml.pre` smollm or gpt-2; another is an Error
  // that lists these). This version refuses folders.
  static Tokenizer open(const std::filesystem::path& model);

  // Control tokens (<|im_start|>) are matched in the text only where every byte of the match has
  // may_be_control[byte] != 0; an empty span allows them everywhere. Elsewhere their letters are encoded as text.
  // Text that is not UTF-8 is an Error.
  std::vector<Token> encode(std::string_view text, std::span<const std::uint8_t> may_be_control = {}) const;

  // Valid UTF-8: bytes that make no character (a character cut in two) become U+FFFD.
  std::string decode(std::span<const std::int32_t> ids, bool skip_control = false) const;
  // The bytes that a token stands for; they need not be whole characters.
  std::string_view bytes_of(std::int32_t id) const;

  std::int32_t vocab_size() const { return static_cast<std::int32_t>(bytes_.size()); }
  std::int32_t eos() const { return eos_; }                        // what templates call eos_token
  const std::vector<std::int32_t>& ends() const { return ends_; }  // every token that ends an answer, eos() first
  std::optional<std::int32_t> bos() const { return bos_; }         // what templates call bos_token
  std::optional<std::int32_t> bos_to_add() const { return bos_to_add_; }  // what raw text wants in front, if anything
  bool is_control(std::int32_t id) const;
  // The token spelt as in the vocabulary: "<|im_end|>", "\u0120the".
  std::optional<std::int32_t> id_of(std::string_view token) const;
  const std::string& chat_template() const;  // the one named "default", else the only one; empty where there is none
  const std::map<std::string, std::string>& chat_templates() const { return chat_templates_; }  // by name

 private:
  static Tokenizer from_gguf(const GgufFile& file);
  Tokenizer(Bpe bpe, PreTokenizer pre_tokenizer) : bpe_(std::move(bpe)), pre_tokenizer_(std::move(pre_tokenizer)) {}
  void encode_text(std::string_view text, std::size_t begin, std::size_t end, std::vector<Token>& tokens) const;

  Bpe bpe_;
  PreTokenizer pre_tokenizer_;
  AddedTokens added_;
  std::vector<std::string> bytes_;     // [id]
  std::vector<std::uint8_t> control_;  // [id]
  std::unordered_map<std::string, std::int32_t> ids_;
  std::int32_t eos_ = 0;
  std::vector<std::int32_t> ends_;
  std::optional<std::int32_t> bos_, bos_to_add_;
  std::map<std::string, std::string> chat_templates_;
};

}  // namespace shardlora
