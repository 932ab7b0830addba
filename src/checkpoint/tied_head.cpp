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

bool head_is_tied(const SafetensorsFolder& files, const std::map<std::string, BitsandbytesWeight>& packed,
                  const std::string& config) {
  const Place *head = files.find(kHeadName), *embedding = files.find(kEmbeddingName);
  if (head == nullptr || embedding == nullptr) return true;
  const auto shape_of = [&](const char* name, const Place& place) -> const Shape& {
    const auto found = packed.find(name);
    return found == packed.end() ? place.entry->shape : found->second.shape();
  };
  const Shape &of_head = shape_of(kHeadName, *head), &of_embedding = shape_of(kEmbeddingName, *embedding);
  if (of_head != of_embedding)
    fail(
        "{}: tensor {} is {}, but {} is {}, and {} says that they are one (tie_word_embeddings); the files are not of "
        "one model, fetch them again",
        head->file->path().string(), kHeadName, of_head.text(), kEmbeddingName, of_embedding.text(), config);
  if (!packed.contains(kHeadName) && !packed.contains(kEmbeddingName) && same_values(*head, *embedding)) return true;
  spdlog::warn(
      "{} says that head and embedding are one matrix (tie_word_embeddings), but {} differs from {}; it is used as a "
      "head of its own, as transformers 5 does. tie_word_embeddings: false there says the same",
      config, kHeadName, kEmbeddingName);
  return false;
}

}  // namespace shardlora
