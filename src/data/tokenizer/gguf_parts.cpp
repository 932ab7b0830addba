// Tokenizers inside GGUF files: byte-level BPE with its merges, and SentencePiece's BPE with scores.
#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/error.h"
#include "base/utf8.h"
#include "data/tokenizer/gguf_pre_types.h"
#include "data/tokenizer/parts.h"

namespace shardlora {
namespace {

enum TokenType : std::int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// What ends an answer in files that name only one end (the names are those of the families' control tokens).
constexpr const char* kEnds[] = {"<|eot_id|>",    "<|eom_id|>",    "<|im_end|>",     "<|end|>",
                                 "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>"};

std::optional<std::int32_t> id_under(const GgufFile& file, std::string_view key, const Vocabulary& vocabulary) {
  if (!file.has(key)) return std::nullopt;
  const std::int64_t id = file.integer(key);
  if (id < 0 || id >= vocabulary.size())
    fail("{}: {} is {}, outside the vocabulary of {}; the file is damaged, get it again", file.path().string(), key, id,
         vocabulary.size());
  return static_cast<std::int32_t>(id);
}

void read_tokens(const GgufFile& file, TokenizerParts& parts) {
  const std::vector<std::string>& tokens = file.texts("tokenizer.ggml.tokens");
  const std::vector<std::int64_t>& types = file.integers("tokenizer.ggml.token_type");
  if (tokens.empty() || tokens.size() > static_cast<std::size_t>(Vocabulary::kMaxSize))
    fail("{}: a vocabulary of {} tokens, 1 to {} are supported", parts.what, tokens.size(), Vocabulary::kMaxSize);
  if (types.size() != tokens.size())
    fail("{}: {} tokens and {} token types; the file is damaged, get it again", parts.what, tokens.size(),
         types.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool is_control = types[i] == kControl, is_added = is_control || types[i] == kUserDefined;
    if (types[i] < kNormal || types[i] > kByte) fail("{}: token {} has the unknown type {}", parts.what, i, types[i]);
    parts.vocabulary->add(tokens[i], static_cast<std::int64_t>(i), parts.what);
    if (is_added && (tokens[i].empty() || tokens[i].size() > AddedTokens::kMaxBytes))
      fail("{}: added token {} has {} bytes, 1 to {} are supported", parts.what, i, tokens[i].size(),
           AddedTokens::kMaxBytes);
    if (is_added) parts.raw.add(tokens[i], {static_cast<std::int32_t>(i), is_control, false, false, false});
    parts.control.push_back(is_control);
    parts.added.push_back(is_added);
    parts.usable.push_back(types[i] == kNormal || types[i] == kByte);
  }
}

void read_merges(const GgufFile& file, TokenizerParts& parts) {
  const std::vector<std::string>& merges = file.texts("tokenizer.ggml.merges");
  parts.merges.reserve(merges.size());
  std::unordered_set<std::string_view> seen;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const std::string& merge = merges[i];
    const std::size_t space = merge.find(' ');
    if (space == std::string::npos || merge.find(' ', space + 1) != std::string::npos)
      fail("{}: merge {} (\"{}\") is not two tokens and a space; the file is damaged, get it again", parts.what, i,
           merge);
    if (!seen.insert(merge).second)
      fail("{}: merge {} (\"{}\") is there twice; the file is damaged, get it again", parts.what, i, merge);
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    parts.merges.push_back({id_in_merge(parts, i, left), id_in_merge(parts, i, right),
                            id_in_merge(parts, i, left + right), static_cast<std::uint32_t>(i)});
  }
}

// SentencePiece joins the two neighbours whose joined spelling is the token with the highest score. As merges: every
// cut of every token in two tokens, ranked by the score of the whole.
void make_merges_of_scores(const GgufFile& file, TokenizerParts& parts) {
  const std::vector<double> scores = file.reals("tokenizer.ggml.scores");
  const Vocabulary& vocabulary = *parts.vocabulary;
  if (scores.size() != static_cast<std::size_t>(vocabulary.size()))
    fail("{}: {} tokens and {} scores; the file is damaged, get it again", parts.what, vocabulary.size(),
         scores.size());
  std::vector<double> ranking;
  for (const double score : scores) {
    if (!std::isfinite(score))
      fail("{}: a token's score is not a number; the file is damaged, get it again", parts.what);
    ranking.push_back(-score);
  }
  std::sort(ranking.begin(), ranking.end());
  ranking.erase(std::unique(ranking.begin(), ranking.end()), ranking.end());

  const auto joins = [&](std::optional<std::int32_t> id) {
    return id && parts.usable[static_cast<std::size_t>(*id)] != 0 && byte_of_spelling(vocabulary.token(*id)) < 0;
  };
  for (std::int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string& token = vocabulary.token(id);
    if (!joins(id) || token.empty()) continue;
    const double key = -scores[static_cast<std::size_t>(id)];
    const auto rank =
        static_cast<std::uint32_t>(std::lower_bound(ranking.begin(), ranking.end(), key) - ranking.begin());
    for (std::size_t cut = character_at(token, 0).length; cut < token.size(); cut += character_at(token, cut).length) {
      const auto left = vocabulary.id_of(std::string_view(token).substr(0, cut));
      const auto right = vocabulary.id_of(std::string_view(token).substr(cut));
      if (joins(left) && joins(right)) parts.merges.push_back({*left, *right, id, rank});
    }
  }
}

void read_byte_level(const GgufFile& file, TokenizerParts& parts) {
  const GgufPreType& pre = gguf_pre_type(file.text("tokenizer.ggml.pre", ""), parts.what);
  pre.add_to(parts.normalizer, parts.pre_tokenizer);
  parts.options.ignore_merges = pre.ignore_merges;
  parts.decoder = Decoder::byte_level();
  read_tokens(file, parts);
  read_merges(file, parts);
  parts.special.bos = id_under(file, "tokenizer.ggml.bos_token_id", *parts.vocabulary);
  if (file.boolean("tokenizer.ggml.add_bos_token", pre.adds_bos)) parts.special.bos_to_add = parts.special.bos;
}

void read_sentence_piece(const GgufFile& file, TokenizerParts& parts) {
  const bool prefix = file.boolean("tokenizer.ggml.add_space_prefix", true);
  if (prefix) parts.normalizer.add_prepend("\u2581");
  parts.normalizer.add_replace(Pattern::literal(" "), "\u2581");
  parts.decoder = Decoder::sentence_piece(prefix);
  read_tokens(file, parts);
  make_merges_of_scores(file, parts);
  parts.options.byte_fallback = parts.options.fuse_unknown = true;
  parts.options.unknown = id_under(file, "tokenizer.ggml.unknown_token_id", *parts.vocabulary);
  parts.special.bos = id_under(file, "tokenizer.ggml.bos_token_id", *parts.vocabulary);
  if (file.boolean("tokenizer.ggml.add_bos_token", true)) parts.special.bos_to_add = parts.special.bos;
}

void read_ends(const GgufFile& file, TokenizerParts& parts) {
  const Vocabulary& vocabulary = *parts.vocabulary;
  parts.special.eos = id_under(file, "tokenizer.ggml.eos_token_id", vocabulary);
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (const auto id = id_under(file, key, vocabulary)) parts.special.ends.push_back(*id);
  for (const char* name : kEnds)
    if (const auto id = vocabulary.id_of(name); id && parts.control[static_cast<std::size_t>(*id)] != 0)
      parts.special.ends.push_back(*id);
}

}  // namespace

std::int32_t id_in_merge(const TokenizerParts& parts, std::size_t merge, const std::string& token) {
  const auto id = parts.vocabulary->id_of(token);
  if (!id)
    fail("{}: merge {} speaks of \"{}\", which the vocabulary lacks; the file is damaged, get it again", parts.what,
         merge, token);
  return *id;
}

TokenizerParts tokenizer_parts(const GgufFile& file) {
  TokenizerParts parts;
  parts.what = file.path().string();
  const std::string& model = file.text("tokenizer.ggml.model");
  if (model == "gpt2")
    read_byte_level(file, parts);
  else if (model == "llama")
    read_sentence_piece(file, parts);
  else
    fail(
        "{}: the tokenizer model \"{}\" is not supported; supported are: gpt2 (byte-level BPE), llama (SentencePiece "
        "BPE)",
        parts.what, model);
  read_ends(file, parts);
  if (file.has("tokenizer.chat_template")) parts.chat_templates["default"] = file.text("tokenizer.chat_template");
  if (file.has("tokenizer.chat_templates"))
    for (const std::string& name : file.texts("tokenizer.chat_templates"))
      parts.chat_templates[name] = file.text("tokenizer.chat_template." + name);
  return parts;
}

}  // namespace shardlora
