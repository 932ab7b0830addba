#include "data/tokenizer/vocabulary.h"

#include "base/error.h"

namespace shardlora {

void Vocabulary::add(std::string token, std::int64_t id, std::string_view what) {
  if (id < 0 || id >= kMaxSize)
    fail("{}: token \"{}\" has the id {}, 0 to {} are supported", what, token, id, kMaxSize - 1);
  const auto at = static_cast<std::size_t>(id);
  if (at >= tokens_.size()) tokens_.resize(at + 1), there_.resize(at + 1);
  if (there_[at] != 0)
    fail("{}: the id {} is that of \"{}\" and of \"{}\"; the file is damaged, get it again", what, id, tokens_[at],
         token);
  if (!ids_.emplace(token, static_cast<std::int32_t>(id)).second)
    fail("{}: token \"{}\" is in the vocabulary twice; the file is damaged, get it again", what, token);
  there_[at] = 1;
  tokens_[at] = std::move(token);
}

std::optional<std::int32_t> Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace shardlora
