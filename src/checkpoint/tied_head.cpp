#include "checkpoint/tied_head.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace shardlora {
namespace {

using Place = SafetensorsFolder::Place;

constexpr std::int64_t kChunkValues = std::int64_t{1} << 20;

bool same_values(const Place& a, const Place& b) {
  if (!a.entry->float_type() || !b.entry->float_type()) return false;
  std::vector<float> left, right;
  const std::int64_t values = a.entry->shape.numel();
  for (std::int64_t at = 0; at < values; at += std::ssize(left)) {
    left.resize(static_cast<std::size_t>(std::min(kChunkValues, values - at)));
    right.resize(left.size());
    a.file->read_f32(*a.entry, left, at);
    b.file->read_f32(*b.entry, right, at);
    if (left != right) return false;
  }
  return true;
}

}  // namespace

bool head_is_tied(const SafetensorsFolder& files, const std::string& config) {
  const Place *head = files.find(kHeadName), *embedding = files.find(kEmbeddingName);
  if (head == nullptr || embedding == nullptr) return true;
  if (head->entry->shape != embedding->entry->shape)
    fail(
        "{}: tensor {} is {}, but {} is {}, and {} says that they are one (tie_word_embeddings); the files are not of "
        "one model, fetch them again",
        head->file->path().string(), kHeadName, head->entry->shape.text(), kEmbeddingName,
        embedding->entry->shape.text(), config);
  if (same_values(*head, *embedding)) return true;
  spdlog::warn(
      "{} says that head and embedding are one matrix (tie_word_embeddings), but {} differs from {}; it is used as a "
      "head of its own, as transformers 5 does. tie_word_embeddings: false there says the same",
      config, kHeadName, kEmbeddingName);
  return false;
}

}  // namespace shardlora
