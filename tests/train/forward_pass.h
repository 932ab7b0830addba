// One pass over the units without training: what the model says, where TrainStep only gives a mean.
#pragma once

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
  {
    const Lease unit = streamer.borrow(model.spec().embedding_unit());
    for (const MicroBatch& b : batches) model.embed(unit.view(), b, x.at(0, b.index, b.rows()));
  }
  for (std::int64_t l = 0; l < layers; ++l) {
    const Lease unit = streamer.borrow(model.spec().layer_unit(l));
    for (const MicroBatch& b : batches)
      model.forward(unit.view(), b, x.at(l, b.index, b.rows()), x.at(l + 1, b.index, b.rows()), saved, scratch);
  }
  ForwardPass pass;
  const Lease unit = streamer.borrow(model.spec().head_unit());
  for (const MicroBatch& b : batches) {
    const Buffer losses = device.allocate(b.labelled.bytes(), Tier::kDevice, Purpose::kHead);
    const Tensor view = losses.tensor(DType::kF32, b.labelled.shape);
    model.loss(unit.view(), b, x.at(layers, b.index, b.rows()), view, {}, 0, scratch);
    const std::vector<float> values = downloaded(device, view);
    pass.token_losses.insert(pass.token_losses.end(), values.begin(), values.end());
  }
  if (wanted == Logits::kYes) {
    const MicroBatch& first = batches[0];
    const Shape shape{total_tokens(micro_batches[0]), model.config().vocab};
    const Buffer memory =
        device.allocate(static_cast<std::size_t>(shape.numel()) * sizeof(float), Tier::kDevice, Purpose::kHead);
    const Buffer ids =
        device.allocate(static_cast<std::size_t>(shape[0]) * sizeof(std::int32_t), Tier::kPinned, Purpose::kHead);
    for (std::int32_t i = 0; i < shape[0]; ++i) reinterpret_cast<std::int32_t*>(ids.data())[i] = i;
    model.logits(unit.view(), x.at(layers, 0, first.rows()), ids.tensor(DType::kI32, {shape[0]}),
                 memory.tensor(DType::kF32, shape), scratch);
    pass.logits = downloaded(device, memory.tensor(DType::kF32, shape));
  }
  return pass;
}

}  // namespace shardlora
