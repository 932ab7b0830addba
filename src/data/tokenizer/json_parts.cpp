// Tokenizers of Hugging Face folders: tokenizer.json and what lies beside it.
#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "data/tokenizer/folder_tokens.h"
#include "data/tokenizer/json_part.h"
#include "data/tokenizer/parts.h"

namespace shardlora {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kMaxTokenizerBytes = 200 << 20;

void read_vocabulary(const JsonPart& model, TokenizerParts& parts) {
  const json& vocab = model.at("vocab");
  if (!vocab.is_object() || vocab.empty()) fail("{}: \"vocab\" must map tokens to ids", model.where());
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_integer()) fail("{}: the id of \"{}\" is not an integer", model.where(), token);
    parts.vocabulary->add(token, id.get<std::int64_t>(), model.where());
  }
  const auto size = static_cast<std::size_t>(parts.vocabulary->size());
  parts.usable.assign(size, 0);
  for (std::int32_t id = 0; id < parts.vocabulary->size(); ++id)
    parts.usable[static_cast<std::size_t>(id)] = parts.vocabulary->has(id);
}

std::pair<std::string, std::string> pair_of(const JsonPart& model, std::size_t at, const json& merge) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (merge.is_string()) {
    const std::string& text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos)
      return {text.substr(0, space), text.substr(space + 1)};
  }
  fail("{}: merge {} is not two tokens; the file is damaged, get it again", model.where(), at);
}

void read_model(const JsonPart& model, TokenizerParts& parts) {
  if (model.text("type", "BPE") != "BPE") model.refuse("BPE");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.text(key, "").empty()) fail("{}: \"{}\" is not supported", model.where(), key);
  read_vocabulary(model, parts);
  const json& merges = model.list("merges");
  parts.merges.reserve(merges.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] = pair_of(model, i, merges[i]);
    parts.merges.push_back({id_in_merge(parts, i, left), id_in_merge(parts, i, right),
                            id_in_merge(parts, i, left + right), static_cast<std::uint32_t>(i)});
  }
  parts.options.fuse_unknown = model.boolean("fuse_unk", false);
  parts.options.byte_fallback = model.boolean("byte_fallback", false);
  parts.options.ignore_merges = model.boolean("ignore_merges", false);
  if (model.has("unk_token")) {
    parts.options.unknown = parts.vocabulary->id_of(model.text("unk_token"));
    if (!parts.options.unknown)
      fail("{}: the unk_token \"{}\" is not in the vocabulary", model.where(), model.text("unk_token"));
  }
}

// The token that a post-processor puts in front of a text.
std::optional<std::int64_t> first_of(const JsonPart& post) {
  const std::string type = post.type();
  if (type == "Sequence") {
    for (const json& step : post.list("processors"))
      if (const auto id = first_of({step, post.where()})) return id;
  } else if (type == "TemplateProcessing") {
    const json& single = post.list("single");
    if (single.empty() || !single[0].contains("SpecialToken")) return std::nullopt;
    const std::string name = JsonPart(single[0], post.where()).part("SpecialToken").text("id");
    const json& ids = post.part("special_tokens").part(name.c_str()).list("ids");
    if (!ids.empty() && ids[0].is_number_integer()) return ids[0].get<std::int64_t>();
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    const json& cls = post.list("cls");
    if (cls.size() == 2 && cls[1].is_number_integer()) return cls[1].get<std::int64_t>();
  } else if (type != "ByteLevel") {
    post.refuse("Sequence, TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing");
  }
  return std::nullopt;
}

std::int32_t checked_id(const TokenizerParts& parts, std::int64_t id, const std::string& where) {
  if (id < 0 || id >= parts.vocabulary->size() || !parts.vocabulary->has(static_cast<std::int32_t>(id)))
    fail("{}: the id {} is not in the vocabulary; is the file another model's?", where, id);
  return static_cast<std::int32_t>(id);
}

// "eos_token": "</s>", or an object with its "content".
std::optional<std::int32_t> token_under(const JsonPart& config, const char* key, const TokenizerParts& parts) {
  if (!config.has(key)) return std::nullopt;
  const std::string name = config.at(key).is_object() ? config.part(key).text("content") : config.text(key);
  const auto id = parts.vocabulary->id_of(name);
  if (!id) fail("{}: the {} \"{}\" is not in the vocabulary of tokenizer.json", config.where(), key, name);
  return id;
}

// eos_token_id: one id, or a list of them.
void read_end_ids(const JsonPart& config, TokenizerParts& parts) {
  if (!config.has("eos_token_id")) return;
  const json& ids = config.at("eos_token_id");
  for (const json& id : ids.is_array() ? ids : json::array({ids})) {
    if (!id.is_number_integer()) fail("{}: \"eos_token_id\" must be an id or a list of ids", config.where());
    parts.special.ends.push_back(checked_id(parts, id.get<std::int64_t>(), config.where() + ": eos_token_id"));
  }
}

void read_ends(const fs::path& folder, TokenizerParts& parts) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    if (!parts.special.ends.empty() || !fs::exists(folder / name)) continue;
    const json config = read_json(folder / name, kMaxConfigBytes);
    const JsonPart part(config, (folder / name).string());
    read_end_ids(part, parts);
    if (parts.special.ends.empty() && part.has("text_config")) read_end_ids(part.part("text_config"), parts);
  }
}

void read_config(const fs::path& folder, TokenizerParts& parts) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!fs::exists(folder / name)) continue;
    const json json_config = read_json(folder / name, kMaxConfigBytes);
    const JsonPart config(json_config, (folder / name).string());
    if (!parts.special.eos) parts.special.eos = token_under(config, "eos_token", parts);
    if (!parts.special.bos) parts.special.bos = token_under(config, "bos_token", parts);
    if (config.has("add_bos_token"))
      parts.special.bos_to_add = config.boolean("add_bos_token", false) ? parts.special.bos : std::nullopt;
    if (!config.has("chat_template")) continue;
    if (!config.at("chat_template").is_array()) {
      parts.chat_templates["default"] = config.text("chat_template");
      continue;
    }
    for (const json& entry : config.at("chat_template")) {
      const JsonPart named(entry, config.where() + ": chat_template");
      parts.chat_templates[named.text("name")] = named.text("template");
    }
  }
}

void read_template_files(const fs::path& folder, TokenizerParts& parts) {
  if (fs::exists(folder / "chat_template.jinja"))
    parts.chat_templates["default"] = read_text(folder / "chat_template.jinja", kMaxConfigBytes);
  if (!fs::is_directory(folder / "additional_chat_templates")) return;
  for (const auto& entry : fs::directory_iterator(folder / "additional_chat_templates"))
    if (entry.path().extension() == ".jinja")
      parts.chat_templates[entry.path().stem().string()] = read_text(entry.path(), kMaxConfigBytes);
}

}  // namespace

TokenizerParts tokenizer_parts_of_folder(const fs::path& folder) {
  const fs::path path = folder / "tokenizer.json";
  if (!fs::exists(path) && fs::exists(folder / "tokenizer.model"))
    fail(
        "{} has a tokenizer.model and no tokenizer.json. Make one with Python: from transformers import AutoTokenizer; "
        "AutoTokenizer.from_pretrained(\"{}\").save_pretrained(\"{}\")",
        folder.string(), folder.string(), folder.string());
  if (!fs::exists(path)) fail("{}: there is no such file; get the whole folder of the model", path.string());

  TokenizerParts parts;
  parts.what = path.string();
  const json root = read_json(path, kMaxTokenizerBytes);
  const JsonPart file(root, parts.what);
  if (file.has("normalizer")) parts.normalizer = Normalizer::of({file.at("normalizer"), parts.what + ": normalizer"});
  if (file.has("pre_tokenizer"))
    parts.pre_tokenizer = PreTokenizer::of({file.at("pre_tokenizer"), parts.what + ": pre_tokenizer"});
  if (file.has("decoder")) parts.decoder = Decoder::of({file.at("decoder"), parts.what + ": decoder"});
  read_model({file.at("model"), parts.what + ": model"}, parts);
  parts.control.resize(parts.usable.size()), parts.added.resize(parts.usable.size());
  add_tokens_of_folder(root, folder, parts);
  if (file.has("post_processor"))
    if (const auto id = first_of({file.at("post_processor"), parts.what + ": post_processor"}))
      parts.special.bos_to_add = checked_id(parts, *id, parts.what + ": post_processor");
  read_config(folder, parts);
  read_ends(folder, parts);
  read_template_files(folder, parts);
  return parts;
}

}  // namespace shardlora
