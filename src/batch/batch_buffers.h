// Micro-batches of one rank in device memory, and how samples become one.
#pragma once

#include <cstdint>
#include <optional>

#include "backend/device.h"
#include "batch/sample.h"
#include "tensor/micro_batch.h"

namespace shardlora {

// Rows that samples of `tokens` tokens in all take on the device: rounded up, so that few shapes occur.
std::int64_t padded_rows(std::int64_t tokens);

class BatchBuffers {
 public:
  // Room for `slots` micro-batches of at most `rows` rows and `samples` samples each.
  BatchBuffers(Device& device, std::int64_t slots, std::int64_t rows, std::int64_t samples);

  // Puts the samples one after the other. Rows that pad the end form a sample of their own without targets.
  // The host memory behind it is written at once: earlier loads of the slot must have been consumed (synchronised).
  // With `noise` the batch is one that training draws random numbers for.
  MicroBatch load(std::int64_t slot, std::int64_t index, const SampleRefs& samples,
                  std::optional<PhiloxKey> noise = {});
  // The largest micro-batch there is room for, every row of it labelled; without values, for a Rehearsal.
  MicroBatch largest(std::optional<PhiloxKey> noise = {}) const;

 private:
  Device& device_;
  std::int64_t rows_, samples_;
  std::size_t slot_bytes_;
  Buffer staging_, data_;
};

}  // namespace shardlora
