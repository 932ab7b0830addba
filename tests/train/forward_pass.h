// One pass over the units without training: what the model says, where TrainStep only gives a mean.
#pragma once

#include <algorithm>
#include <cstring>

#include "batch/batch_buffers.h"
#include "models/model.h"
#include "models/visits.h"
#include "shard/activation_store.h"
#include "shard/layer_streamer.h"

namespace shardlora {

struct ForwardPass {
  std::vector<float> logits;        // (rows, vocab) of the first micro-batch, one sample after the other
  std::vector<float> token_losses;  // of all targets of all micro-batches in order
};

inline std::vector<float> downloaded(Device& device, ConstTensor values) {
  const Buffer host = device.allocate(values.bytes(), Tier::kPinned, Purpose::kWorkspace);
  device.copy(host.data(), values.data, values.bytes(), device.compute());
  device.compute().synchronize();
  std::vector<float> copy(static_cast<std::size_t>(values.numel()));
  if (!copy.empty()) std::memcpy(copy.data(), host.data(), values.bytes());
  return copy;
}

enum class Logits : std::uint8_t { kNo, kYes };

// Collective; every rank gives and gets the same.
inline ForwardPass forward_pass(Device& device, Model& model, ParamStore& store, Communicator& gathers,
                                const std::vector<SampleRefs>& micro_batches, Logits wanted,
                                const StreamerOptions& options) {
  std::int64_t rows = 0, samples = 0;
  for (const SampleRefs& m : micro_batches) {
    rows = std::max(rows, padded_rows(total_tokens(m)));
    samples = std::max(samples, std::ssize(m));
  }
  const std::int64_t count = std::ssize(micro_batches), layers = model.config().layers;
  BatchBuffers buffers(device, count, rows, samples);
  const ActivationStore x(device, Tier::kDevice, 1, count, rows, model.config().hidden, model.dtype());
  const std::size_t scratch_bytes = std::max(model.scratch_bytes(rows), model.head_bytes(rows));
  const Buffer saved_memory = device.allocate(model.saved_bytes(rows).all(), Tier::kDevice, Purpose::kLive);
  const Buffer scratch_memory = device.allocate(scratch_bytes, Tier::kDevice, Purpose::kLive);
  const Saved saved = saved_at(saved_memory.data(), model.saved_bytes(rows));
  const Workspace scratch(scratch_memory.data(), scratch_memory.bytes());
  std::vector<MicroBatch> batches;
  for (const SampleRefs& m : micro_batches)
    batches.push_back(buffers.load(std::ssize(batches), std::ssize(batches), m));

  LayerStreamer streamer(device, store, gathers, nullptr, {forward_visits(model.spec())}, options);
  streamer.run(0);
  for (std::size_t s = 0; s < model.spec().slices(); ++s) {
    const Lease unit = streamer.borrow(model.spec().embedding_unit(s));
    for (const MicroBatch& b : batches) model.embed(unit.view(), b, x.at(0, b.index, b.rows()));
  }
  for (std::int64_t l = 0; l < layers; ++l) {
    const Lease unit = streamer.borrow(model.spec().layer_unit(l));
    for (const MicroBatch& b : batches)
      model.forward(unit.view(), b, x.at(l, b.index, b.rows()), x.at(l + 1, b.index, b.rows()), saved, scratch);
  }
  ForwardPass pass;
  const std::size_t slices = model.spec().slices(), kept_bytes = model.head_kept_bytes(rows, InputGradient::kNo);
  const std::int64_t vocab = model.config().vocab,
                     logit_rows = wanted == Logits::kYes ? total_tokens(micro_batches[0]) : 0;
  const Buffer losses = device.allocate(static_cast<std::size_t>(count * rows) * sizeof(float), Tier::kDevice,
                                        Purpose::kHead),
               kept = device.allocate(static_cast<std::size_t>(count) * kept_bytes, Tier::kDevice, Purpose::kHead),
               normed_memory = device.allocate(static_cast<std::size_t>(rows * model.config().hidden) * sizeof(float),
                                               Tier::kDevice, Purpose::kHead),
               logits = device.allocate(static_cast<std::size_t>(logit_rows * vocab) * sizeof(float), Tier::kDevice,
                                        Purpose::kHead),
               ids = device.allocate(static_cast<std::size_t>(rows) * sizeof(std::int32_t), Tier::kPinned,
                                     Purpose::kHead);
  for (std::int32_t i = 0; i < logit_rows; ++i) reinterpret_cast<std::int32_t*>(ids.data())[i] = i;
  pass.logits.resize(static_cast<std::size_t>(logit_rows * vocab));
  const auto losses_of = [&](const MicroBatch& b) {
    return losses.tensor(DType::kF32, b.labelled.shape, static_cast<std::size_t>(b.index * rows) * sizeof(float));
  };
  for (std::size_t s = 0; s < slices; ++s) {
    const Lease unit = streamer.borrow(model.spec().head_unit(s));
    for (const MicroBatch& b : batches) {
      const Workspace own(kept.data() + static_cast<std::size_t>(b.index) * kept_bytes, kept_bytes);
      model.loss(unit.view(), b, x.at(layers, b.index, b.rows()), losses_of(b), {}, 0, own, scratch);
    }
    if (logit_rows == 0) continue;
    const ParamSpec& table = model.spec().units()[unit.unit()].params[0];
    const Tensor part = logits.tensor(DType::kF32, {logit_rows, table.shape[0]});
    model.logits(unit.view(), x.at(layers, 0, batches[0].rows()), ids.tensor(DType::kI32, {logit_rows}),
                 normed_memory.tensor(model.dtype(), {logit_rows, model.config().hidden}), part, scratch);
    const std::vector<float> values = downloaded(device, part);
    for (std::int64_t row = 0; row < logit_rows; ++row)
      std::copy_n(values.begin() + row * table.shape[0], table.shape[0],
                  pass.logits.begin() + row * vocab + table.first_row);
  }
  for (const MicroBatch& b : batches) {
    const std::vector<float> values = downloaded(device, losses_of(b));
    pass.token_losses.insert(pass.token_losses.end(), values.begin(), values.end());
  }
  return pass;
}

}  // namespace shardlora
