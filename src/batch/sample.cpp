#include "batch/sample.h"

#include <algorithm>

namespace shardlora {

std::int64_t target_tokens(const SampleRefs& samples) {
  std::int64_t count = 0;
  for (const Sample* s : samples) count += std::count(s->trained.begin() + 1, s->trained.end(), 1);
  return count;
}

std::int64_t total_tokens(const SampleRefs& samples) {
  std::int64_t count = 0;
  for (const Sample* s : samples) count += static_cast<std::int64_t>(s->tokens.size());
  return count;
}

std::int64_t longest(const std::vector<Sample>& samples) {
  std::size_t length = 0;
  for (const Sample& s : samples) length = std::max(length, s.tokens.size());
  return static_cast<std::int64_t>(length);
}

}  // namespace shardlora
