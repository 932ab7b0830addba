#include "data/tokenizer.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "data/utf8.h"

namespace shardlora {
namespace {

enum TokenType : std::int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

constexpr std::size_t kMaxVocabulary = std::size_t{4} << 20;

// GPT-2's byte alphabet: printable Latin-1 stands for itself, the other 68 bytes are U+0100, U+0101, ... in order.
struct ByteAlphabet {
  std::array<std::uint32_t, 256> character_of{};
  std::unordered_map<std::uint32_t, char> byte_of;

  ByteAlphabet() {
    std::uint32_t next = 0x100;
    for (std::uint32_t b = 0; b < 256; ++b) {
      const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      character_of[b] = itself ? b : next++;
      byte_of[character_of[b]] = static_cast<char>(b);
    }
  }
  std::string spelling(std::uint32_t byte) const {  // all are below U+0800
    const std::uint32_t c = character_of[byte];
    if (c < 0x80) return {static_cast<char>(c)};
    return {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
  }
  // A token with a character outside the alphabet stands for itself.
  std::string bytes(std::string_view token) const {
    std::string out;
    for (std::size_t at = 0; at < token.size();) {
      const Character c = character_at(token, at);
      const auto found = c.valid ? byte_of.find(c.code_point) : byte_of.end();
      if (found == byte_of.end()) return std::string(token);
      out += found->second;
      at += c.length;
    }
    return out;
  }
};

using Ids = std::unordered_map<std::string, std::int32_t>;

Ids ids_of(const std::vector<std::string>& tokens, const std::string& what) {
  if (tokens.empty() || tokens.size() > kMaxVocabulary)
    fail("{}: a vocabulary of {} tokens, 1 to {} are supported", what, tokens.size(), kMaxVocabulary);
  Ids ids;
  ids.reserve(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (!ids.emplace(tokens[id], static_cast<std::int32_t>(id)).second)
      fail("{}: token \"{}\" is in the vocabulary twice; the file is damaged, get it again", what, tokens[id]);
  return ids;
}

std::vector<Bpe::Merge> parse_merges(const std::vector<std::string>& merges, const Ids& ids, const std::string& what) {
  std::vector<Bpe::Merge> out;
  out.reserve(merges.size());
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const std::string& merge = merges[i];
    const std::size_t space = merge.find(' ');
    const auto id = [&](const std::string& token) {
      const auto found = ids.find(token);
      if (found == ids.end())
        fail("{}: merge {} (\"{}\") speaks of \"{}\", which the vocabulary lacks; the file is damaged, get it again",
             what, i, merge, token);
      return found->second;
    };
    if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos)
      fail("{}: merge {} (\"{}\") is not two tokens and a space; the file is damaged, get it again", what, i, merge);
    if (!seen.insert(merge).second)
      fail("{}: merge {} (\"{}\") is there twice; the file is damaged, get it again", what, i, merge);
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    out.push_back({id(left), id(right), id(left + right)});
  }
  return out;
}

std::array<std::int32_t, 256> ids_of_bytes(const ByteAlphabet& alphabet, const Ids& ids) {
  std::array<std::int32_t, 256> out{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    const auto found = ids.find(alphabet.spelling(b));
    out[b] = found == ids.end() ? Bpe::kNoToken : found->second;
  }
  return out;
}

std::int32_t id_under(const GgufFile& file, std::string_view key, std::size_t vocabulary) {
  const std::int64_t id = file.integer(key);
  if (id < 0 || id >= static_cast<std::int64_t>(vocabulary))
    fail("{}: {} is {}, outside the vocabulary of {}; the file is damaged, get it again", file.path().string(), key, id,
         vocabulary);
  return static_cast<std::int32_t>(id);
}

void append_valid(std::string& out, std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const Character c = character_at(bytes, at);
    out += c.valid ? bytes.substr(at, c.length) : std::string_view("\xEF\xBF\xBD");
    at += c.length;
  }
}

}  // namespace

Tokenizer Tokenizer::open(const std::filesystem::path& model) {
  if (std::filesystem::is_directory(model))
    fail("{} is a folder: this version reads tokenizers of .gguf files only", model.string());
  return from_gguf(GgufFile(model));
}

const std::string& Tokenizer::chat_template() const {
  static const std::string none;
  const auto found = chat_templates_.find("default");
  if (found != chat_templates_.end()) return found->second;
  return chat_templates_.size() == 1 ? chat_templates_.begin()->second : none;
}

Tokenizer Tokenizer::from_gguf(const GgufFile& file) {
  const std::string what = file.path().string();
  const std::string& model = file.text("tokenizer.ggml.model");
  if (model != "gpt2")
    fail("{}: the tokenizer model \"{}\" is not supported; supported is: gpt2 (byte-level BPE)", what, model);
  PreTokenizer pre_tokenizer = PreTokenizer::named(file.text("tokenizer.ggml.pre"), what);

  const std::vector<std::string>& tokens = file.texts("tokenizer.ggml.tokens");
  const std::vector<std::int64_t>& types = file.integers("tokenizer.ggml.token_type");
  Ids ids = ids_of(tokens, what);
  if (types.size() != tokens.size())
    fail("{}: {} tokens and {} token types; the file is damaged, get it again", what, tokens.size(), types.size());
  const ByteAlphabet alphabet;
  const std::vector<Bpe::Merge> merges = parse_merges(file.texts("tokenizer.ggml.merges"), ids, what);

  Tokenizer tokenizer(Bpe(ids_of_bytes(alphabet, ids), merges), std::move(pre_tokenizer));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool is_control = types[i] == kControl, is_added = is_control || types[i] == kUserDefined;
    if (types[i] < kNormal || types[i] > kByte) fail("{}: token {} has the unknown type {}", what, i, types[i]);
    if (is_added && (tokens[i].empty() || tokens[i].size() > AddedTokens::kMaxBytes))
      fail("{}: added token {} has {} bytes, 1 to {} are supported", what, i, tokens[i].size(), AddedTokens::kMaxBytes);
    if (is_added) tokenizer.added_.add(tokens[i], static_cast<std::int32_t>(i), is_control);
    tokenizer.bytes_.push_back(is_added ? tokens[i] : alphabet.bytes(tokens[i]));
    tokenizer.control_.push_back(is_control);
  }
  tokenizer.ids_ = std::move(ids);
  tokenizer.eos_ = id_under(file, "tokenizer.ggml.eos_token_id", tokens.size());
  if (file.has("tokenizer.ggml.bos_token_id"))
    tokenizer.bos_ = id_under(file, "tokenizer.ggml.bos_token_id", tokens.size());
  if (file.boolean("tokenizer.ggml.add_bos_token", false)) tokenizer.bos_to_add_ = tokenizer.bos_;
  tokenizer.ends_ = {tokenizer.eos_};
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    if (!file.has(key)) continue;
    const std::int32_t id = id_under(file, key, tokens.size());
    if (std::find(tokenizer.ends_.begin(), tokenizer.ends_.end(), id) == tokenizer.ends_.end())
      tokenizer.ends_.push_back(id);
  }
  if (file.has("tokenizer.chat_template")) tokenizer.chat_templates_["default"] = file.text("tokenizer.chat_template");
  if (file.has("tokenizer.chat_templates"))
    for (const std::string& name : file.texts("tokenizer.chat_templates"))
      tokenizer.chat_templates_[name] = file.text("tokenizer.chat_template." + name);
  return tokenizer;
}

std::vector<Token> Tokenizer::encode(std::string_view text, std::span<const std::uint8_t> may_be_control) const {
  DCHECK(may_be_control.empty() || may_be_control.size() == text.size(), "{} flags for {} bytes", may_be_control.size(),
         text.size());
  if (text.size() > 0xFFFFFFFFULL) fail("a text of {} bytes, at most 4 GiB can be tokenized", text.size());
  std::vector<Token> tokens;
  for (std::size_t at = 0; at < text.size();) {
    const auto match = added_.find(text, at, may_be_control);
    encode_text(text, at, match ? match->begin : text.size(), tokens);
    if (!match) break;
    tokens.push_back({match->id, static_cast<std::uint32_t>(match->begin), static_cast<std::uint32_t>(match->end)});
    at = match->end;
  }
  return tokens;
}

void Tokenizer::encode_text(std::string_view text, std::size_t begin, std::size_t end,
                            std::vector<Token>& tokens) const {
  const std::string_view piece = text.substr(begin, end - begin);
  std::vector<Symbol> symbols;
  pre_tokenizer_.split(piece, [&](std::size_t from, std::size_t to) {
    symbols.clear();
    bpe_.encode(piece.substr(from, to - from), symbols);
    const auto offset = static_cast<std::uint32_t>(begin + from);
    for (const Symbol& s : symbols) tokens.push_back({s.id, offset + s.begin, offset + s.end});
  });
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_control) const {
  std::string bytes, out;
  for (const std::int32_t id : ids)
    if (!skip_control || !is_control(id)) bytes += bytes_of(id);
  append_valid(out, bytes);
  return out;
}

std::string_view Tokenizer::bytes_of(std::int32_t id) const {
  DCHECK(id >= 0 && id < vocab_size(), "token {} of a vocabulary of {}", id, vocab_size());
  return bytes_[static_cast<std::size_t>(id)];
}

bool Tokenizer::is_control(std::int32_t id) const {
  DCHECK(id >= 0 && id < vocab_size(), "token {} of a vocabulary of {}", id, vocab_size());
  return control_[static_cast<std::size_t>(id)] != 0;
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace shardlora
