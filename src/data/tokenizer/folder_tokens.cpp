#include "data/tokenizer/folder_tokens.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "base/utf8.h"
#include "data/tokenizer/json_part.h"

namespace shardlora {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char *kConfig = "tokenizer_config.json", *kSpecialMap = "special_tokens_map.json",
                     *kAddedTokens = "added_tokens.json";
// In the order in which transformers numbers those that have no id.
constexpr const char* kNamed[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};
constexpr const char* kExtra[] = {"additional_special_tokens", "extra_special_tokens"};

struct FolderToken {
  std::int64_t id;
  std::string content, where;
  bool special = false, single_word = false, lstrip = false, rstrip = false, normalized = true;
  bool is_like(const FolderToken& o) const {
    return std::tie(id, content, special, single_word, lstrip, rstrip, normalized) ==
           std::tie(o.id, o.content, o.special, o.single_word, o.lstrip, o.rstrip, o.normalized);
  }
};

FolderToken token_of(const JsonPart& token, std::int64_t id, bool special) {
  FolderToken out{.id = id, .content = token.text("content"), .where = token.where()};
  out.special = token.boolean("special", special);
  out.single_word = token.boolean("single_word", false);
  out.lstrip = token.boolean("lstrip", false);
  out.rstrip = token.boolean("rstrip", false);
  out.normalized = token.boolean("normalized", !out.special);
  return out;
}

json json_if_there(const fs::path& path) {
  return fs::exists(path) ? read_json(path, kMaxConfigBytes) : json::object();
}

// A token by its spelling alone, or an object with its "content".
FolderToken special_of(const json& token, const std::string& where) {
  if (token.is_object()) return token_of({token, where}, -1, true);
  if (!token.is_string()) fail("{}: a token must be text or an object, not {}", where, token.type_name());
  return {.id = -1, .content = token.get<std::string>(), .where = where, .special = true, .normalized = false};
}

class FolderTokens {
 public:
  explicit FolderTokens(const TokenizerParts& parts) : parts_(parts), next_(parts.vocabulary->size()) {}

  // What tokenizer.json lists.
  void list(FolderToken token) {
    check_id(token);
    put(std::move(token));
  }
  // What another file lists, whose word about a token goes before tokenizer.json's.
  void list_beside(FolderToken token, const std::set<std::string>& special) {
    const bool is_new = check_id(token);
    if (!is_new && by_content_.contains(token.content) && tokens_[by_content_.at(token.content)].is_like(token)) return;
    if (is_new && token.id != next_ && !is_taken(token.id))
      fail(
          "{}: \"{}\" has the id {}, but the next one that is free is {}, which transformers would give it; the files "
          "are not of one model, get them again",
          token.where, token.content, token.id, next_);
    token.special = token.special || special.contains(token.content);
    put(std::move(token));
  }
  // What a file only names: its id is that of the vocabulary, or the next that is free. One that nothing writes (a
  // pad_token) keeps its number, but no place in the vocabulary.
  void name(FolderToken token, bool is_written) {
    if (token.content.empty() || by_content_.contains(token.content)) return;
    const auto of_model = parts_.vocabulary->id_of(token.content);
    token.id = of_model ? *of_model : next_;
    token.special = !of_model || !letters_make(*of_model);  // a word ("!" as pad_token) stays one
    if (of_model || is_written)
      put(std::move(token));
    else
      ++next_;
  }
  const std::vector<FolderToken>& tokens() const { return tokens_; }

 private:
  // Whether the token is a new one; an Error where it has another id already.
  bool check_id(const FolderToken& token) const {
    const auto known = by_content_.find(token.content);
    const std::int64_t had =
        known != by_content_.end() ? tokens_[known->second].id : parts_.vocabulary->id_of(token.content).value_or(-1);
    if (had >= 0 && had != token.id)
      fail("{}: \"{}\" has the id {} here and {} in the vocabulary; the file is damaged, get it again", token.where,
           token.content, token.id, had);
    return had < 0;
  }
  bool is_taken(std::int64_t id) const {
    return (id <= Vocabulary::kMaxSize && parts_.vocabulary->has(static_cast<std::int32_t>(id))) ||
           std::any_of(tokens_.begin(), tokens_.end(), [&](const FolderToken& token) { return token.id == id; });
  }
  bool letters_make(std::int32_t id) const {
    const std::string& content = parts_.vocabulary->token(id);
    return character_at(content, 0).length == content.size() ||
           std::any_of(parts_.merges.begin(), parts_.merges.end(), [&](const Bpe::Merge& m) { return m.merged == id; });
  }
  void put(FolderToken token) {
    next_ = std::max(next_, token.id + 1);
    const auto [known, is_new] = by_content_.emplace(token.content, tokens_.size());
    if (is_new)
      tokens_.push_back(std::move(token));
    else
      tokens_[known->second] = std::move(token);
  }

  const TokenizerParts& parts_;
  std::vector<FolderToken> tokens_;
  std::unordered_map<std::string, std::size_t> by_content_;
  std::int64_t next_;
};

// What eos_token and its like, or lists of more, are called in a configuration.
std::set<std::string> spellings(const JsonPart& config, bool with_extra) {
  std::set<std::string> names;
  for (const char* key : kNamed)
    if (config.has(key)) names.insert(special_of(config.at(key), config.where() + ": " + key).content);
  for (const char* key : kExtra)
    if (with_extra && config.has(key) && config.at(key).is_array())
      for (const json& token : config.at(key)) names.insert(special_of(token, config.where() + ": " + key).content);
  return names;
}

// {"32000": {"content": "<x>", …}, …}
void list_decoder(const JsonPart& decoder, const std::set<std::string>& special, FolderTokens& tokens) {
  std::map<std::int64_t, const json*> by_id;
  for (const auto& [key, token] : decoder.json().items()) {
    if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos)
      fail("{}: \"{}\" is no id of a token", decoder.where(), key);
    by_id[std::stoll(key)] = &token;
  }
  for (const auto& [id, json] : by_id) tokens.list_beside(token_of({*json, decoder.where()}, id, false), special);
}

// {"<x>": 32000, …}
void list_added(const JsonPart& added, const std::set<std::string>& special, FolderTokens& tokens) {
  std::map<std::int64_t, std::string> by_id;
  for (const auto& [content, id] : added.json().items()) {
    const auto [other, is_new] = by_id.emplace(added.integer(content.c_str()), content);
    if (!is_new)
      fail("{}: the id {} is that of \"{}\" and of \"{}\"; the file is damaged, get it again", added.where(),
           other->first, other->second, content);
  }
  for (const auto& [id, content] : by_id) {
    const bool is_special = special.contains(content);
    tokens.list_beside(
        {.id = id, .content = content, .where = added.where(), .special = is_special, .normalized = !is_special},
        special);
  }
}

void name_special(const JsonPart& config, FolderTokens& tokens) {
  for (const char* key : kNamed)
    if (config.has(key)) tokens.name(special_of(config.at(key), config.where() + ": " + key), false);
  for (const char* key : kExtra) {
    if (!config.has(key) || !config.at(key).is_array()) continue;
    for (const json& token : config.at(key)) tokens.name(special_of(token, config.where() + ": " + key), true);
  }
}

void put_into(const FolderToken& token, TokenizerParts& parts) {
  if (token.content.empty() || token.content.size() > AddedTokens::kMaxBytes)
    fail("{}: token {} has {} bytes, 1 to {} are supported", token.where, token.id, token.content.size(),
         AddedTokens::kMaxBytes);
  if (!parts.vocabulary->id_of(token.content)) parts.vocabulary->add(token.content, token.id, token.where);
  const auto size = static_cast<std::size_t>(parts.vocabulary->size()), at = static_cast<std::size_t>(token.id);
  parts.usable.resize(size), parts.control.resize(size), parts.added.resize(size);
  parts.added[at] = 1;
  parts.control[at] = token.special;
  if (token.special) parts.usable[at] = 0;
  const AddedToken added{.id = static_cast<std::int32_t>(token.id),
                         .is_control = token.special,
                         .single_word = token.single_word,
                         .lstrip = token.lstrip,
                         .rstrip = token.rstrip};
  if (!token.normalized) {
    parts.raw.add(token.content, added);
    return;
  }
  const std::string spelling = parts.normalizer.apply(AlignedText(token.content, 0)).text();
  if (!spelling.empty() && spelling.size() <= AddedTokens::kMaxBytes) parts.normalized.add(spelling, added);
}

}  // namespace

void add_tokens_of_folder(const json& tokenizer_json, const fs::path& folder, TokenizerParts& parts) {
  FolderTokens tokens(parts);
  const JsonPart file(tokenizer_json, parts.what);
  if (file.has("added_tokens"))
    for (const json& token : file.list("added_tokens")) {
      const JsonPart part(token, parts.what + ": added_tokens");
      tokens.list(token_of(part, part.integer("id"), false));
    }
  json config = json_if_there(folder / kConfig);
  const std::string where = (folder / kConfig).string();
  const bool has_decoder = JsonPart(config, where).has("added_tokens_decoder");
  if (!has_decoder) {  // as transformers does with the files of its older versions
    const json map = json_if_there(folder / kSpecialMap);
    config.update(JsonPart(map, (folder / kSpecialMap).string()).json());
  }
  const JsonPart part(config, where);
  const std::set<std::string> special = spellings(part, !has_decoder);
  if (has_decoder) {
    list_decoder(part.part("added_tokens_decoder"), special, tokens);
  } else {
    const json added = json_if_there(folder / kAddedTokens);
    list_added({added, (folder / kAddedTokens).string()}, special, tokens);
  }
  name_special(part, tokens);
  for (const FolderToken& token : tokens.tokens()) put_into(token, parts);
}

}  // namespace shardlora
