#include "batch/batch_buffers.h"

#include <algorithm>
#include <vector>

namespace shardlora {

std::int64_t padded_rows(std::int64_t tokens) { return (tokens + kRowGrain - 1) / kRowGrain * kRowGrain; }

BatchBuffers::BatchBuffers(Device& device, std::int64_t slots, std::int64_t rows, std::int64_t samples)
    : device_(device), rows_(rows), samples_(samples) {
  // tokens, positions, labelled, targets, sample ids: one a row; bounds: one a sample, one for the padding, one at the
  // end
  slot_bytes_ = static_cast<std::size_t>(5 * rows + samples + 2) * sizeof(std::int32_t);
  const std::size_t bytes = static_cast<std::size_t>(slots) * slot_bytes_;
  staging_ = device.allocate(bytes, Tier::kPinned, Purpose::kWorkspace);
  data_ = device.allocate(bytes, Tier::kDevice, Purpose::kWorkspace);
}

MicroBatch BatchBuffers::load(std::int64_t slot, std::int64_t index, const SampleRefs& samples,
                              std::optional<PhiloxKey> noise) {
  const std::int64_t tokens = total_tokens(samples), rows = padded_rows(tokens);
  CHECK(rows <= rows_ && static_cast<std::int64_t>(samples.size()) <= samples_,
        "{} rows of {} samples in a buffer for {} of {}", rows, samples.size(), rows_, samples_);
  std::vector<std::int32_t> token, position, bound{0}, labelled, target, sample;
  MicroBatch batch;
  batch.index = index;
  batch.noise = noise;
  for (const Sample* s : samples) {
    const auto n = static_cast<std::int64_t>(s->tokens.size());
    for (std::size_t i = 0; i + 1 < s->tokens.size(); ++i) {
      if (s->trained[i + 1] == 0) continue;
      labelled.push_back(static_cast<std::int32_t>(token.size() + i));
      target.push_back(s->tokens[i + 1]);
    }
    token.insert(token.end(), s->tokens.begin(), s->tokens.end());
    for (std::int64_t i = 0; i < n; ++i) position.push_back(static_cast<std::int32_t>(i));
    bound.push_back(static_cast<std::int32_t>(token.size()));
    sample.resize(token.size(), s->id);
    batch.longest = std::max(batch.longest, n);
  }
  if (rows > tokens) {
    for (std::int64_t i = 0; i < rows - tokens; ++i) position.push_back(static_cast<std::int32_t>(i));
    token.resize(static_cast<std::size_t>(rows), 0);
    sample.resize(static_cast<std::size_t>(rows), -1);
    bound.push_back(static_cast<std::int32_t>(rows));
  }

  const std::size_t begin = static_cast<std::size_t>(slot) * slot_bytes_;
  std::size_t used = 0;
  const auto place = [&](const std::vector<std::int32_t>& values) {
    const std::size_t offset = begin + used;
    used += values.size() * sizeof(std::int32_t);
    std::copy(values.begin(), values.end(), reinterpret_cast<std::int32_t*>(staging_.data() + offset));
    return ConstTensor(data_.tensor(DType::kI32, {static_cast<std::int64_t>(values.size())}, offset));
  };
  batch.tokens = place(token);
  batch.positions = place(position);
  batch.bounds = place(bound);
  batch.labelled = place(labelled);
  batch.targets = place(target);
  if (noise) batch.sample_ids = place(sample);
  device_.copy(data_.data() + begin, staging_.data() + begin, used, device_.compute());
  return batch;
}

MicroBatch BatchBuffers::largest(std::optional<PhiloxKey> noise) const {
  const ConstTensor row_each = data_.tensor(DType::kI32, {rows_}), bounds = data_.tensor(DType::kI32, {samples_ + 1});
  return {.index = 0,
          .longest = rows_,
          .tokens = row_each,
          .positions = row_each,
          .bounds = bounds,
          .labelled = row_each,
          .targets = row_each,
          .noise = noise,
          .sample_ids = noise ? row_each : ConstTensor{}};
}

}  // namespace shardlora
