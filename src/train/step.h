// One optimiser step, and evaluation, over borrowed units. A step is a list of micro-batches; every rank is given the
// whole list and takes its contiguous run of it. The loss is the mean over all target tokens of the step.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "batch/batch_buffers.h"
#include "batch/sample_batches.h"
#include "models/model.h"
#include "shard/activation_store.h"
#include "shard/gradient_reducer.h"
#include "shard/layer_streamer.h"
#include "train/loss_scale.h"
#include "train/optimizer.h"
#include "train/step_report.h"

namespace shardlora {

// What a step of that size exchanges over `reductions` at once, at most, in any wave that may be chosen: bytes that a
// rank brings to an all-gather, and bytes from one rank to another.
struct StepTraffic {
  std::size_t gathered = 0, sent = 0;
};
StepTraffic traffic_of(const ParamStore& store, const StepLimits& limits, int ranks);

// The wave that is tried where there is no room for `wave`, down to one micro-batch.
constexpr std::int64_t smaller_wave(std::int64_t wave) { return (wave + 1) / 2; }

struct StepOptions {
  std::vector<Recompute> recompute = {Recompute::kYes};  // of the layers, in turns
  std::int64_t wave = 0;  // micro-batches of a rank that share a visit of training; 0: all
  Tier layer_inputs = Tier::kDevice;
  std::filesystem::path scratch = {};  // the directory of layer inputs on disk
  StreamerOptions streamer;
  float neftune_alpha = 0;  // noise on embeddings while training
};

struct StepResult {
  double loss = 0, grad_norm = 0;              // not scaled
  double loss_scale = 1;                       // that backward ran with
  bool updated = false;                        // not so where the scaled gradients overflowed
  std::int64_t tokens = 0, target_tokens = 0;  // over all ranks; tokens without padding
  std::vector<HostStatus> hosts;               // by rank
};

// Loss or gradients are not finite, whatever the loss scale; nothing was updated. Thrown on every rank alike.
class Diverged : public Error {
 public:
  using Error::Error;
};

class TrainStep {
 public:
  // Takes all memory that steps and evaluations within the limits need; OutOfMemory where it is not there.
  TrainStep(Device& device, Model& model, ParamStore& store, Communicator& gathers, Communicator& reductions,
            const StepLimits& limits, const StepOptions& options);

  // The same list on every rank. `noise`: the key of dropout and NEFTune; without it neither is done. Throws Diverged
  // before the update when loss or gradient are not finite; gradients that a smaller loss scale may make finite
  // are no error: then nothing is updated. `loss_scale` becomes the next step's. The host waits once, before the
  // update. `status` is asked when all of the step up to there was submitted, and told to all ranks.
  StepResult run(const std::vector<SampleRefs>& micro_batches, const AdamWStep& adamw, double max_grad_norm,
                 LossScale& loss_scale, std::optional<PhiloxKey> noise = {},
                 const std::function<HostStatus()>& status = {});
  // Mean loss over the target tokens of any number of micro-batches, of which as many share a visit as the layer
  // inputs' memory has room for. `told` hears the losses of each of them on every rank: one a target token, sample by
  // sample.
  using HearLosses = std::function<void(const SampleRefs& micro_batch, std::span<const float> losses)>;
  StepResult evaluate(const std::vector<SampleRefs>& micro_batches, const HearLosses& told = {});

 private:
  enum Schedule : std::size_t { kTrain, kEvaluate };
  // A micro-batch of this rank, in device memory.
  struct Member {
    MicroBatch batch;
    std::int64_t slot;  // its place in its wave
    Tensor losses;      // (K) f32
  };
  // This rank's run of a step, in waves; as many waves on every rank, or their visits would not match.
  struct Share {
    Waves cut;
    std::vector<Member> members;
    std::vector<std::span<const Member>> waves;
  };

  Share load(const std::vector<SampleRefs>& micro_batches, std::optional<PhiloxKey> noise);
  // Has the ops take the memory that they need for the largest micro-batch, so that no step takes any later.
  void rehearse();
  // Sets where each layer's kept activations lie, of `wave` micro-batches; the bytes of all.
  std::size_t place_saved(std::size_t wave);
  void start(Schedule schedule);
  void forward(std::span<const Member> wave);
  void head(std::span<const Member> wave, float gradient_scale);
  void backward(std::span<const Member> wave);
  void embed_backward(std::span<const Member> wave);

  Tensor input(std::int64_t layer, const Member& member) const;
  Tensor gradient(const Member& member) const;
  Recompute recompute(std::int64_t layer) const {
    return recompute_[static_cast<std::size_t>(layer) % recompute_.size()];
  }
  Saved saved(std::int64_t layer, const Member& member) const;
  Workspace head_kept(const Member& member) const;
  // Micro-batches of a rank that share a visit in the schedule that runs.
  std::int64_t wave() const;
  Workspace scratch() const { return {scratch_.data(), scratch_.bytes()}; }

  void check_traffic();
  void exchange(const HostStatus& mine);
  // Sums over all ranks, in an order that does not depend on how many there are: of losses, by micro-batch of the
  // step; of squared gradients, by unit.
  std::vector<double> losses(const std::vector<SampleRefs>& micro_batches) const;
  std::vector<double> squares() const;
  void check_losses(const std::vector<SampleRefs>& micro_batches, const std::vector<double>& losses) const;
  void check_gradients(const std::vector<double>& squares, const LossScale& loss_scale) const;

  Device& device_;
  Model& model_;
  ParamStore& store_;
  Communicator& reductions_;
  StepLimits limits_;
  std::vector<Recompute> recompute_;
  float neftune_alpha_;
  std::int64_t own_, wave_;  // micro-batches of a rank at most: in all, and in training at a time
  Schedule running_ = kTrain;
  // What compute may be at work on where a step fails comes before the streamer, whose end waits for it.
  BatchBuffers batches_;
  ActivationStore inputs_;
  Buffer gradients_, saved_, head_kept_, scratch_;
  SavedBytes saved_bytes_;            // of a layer and micro-batch
  std::vector<std::size_t> kept_at_;  // by layer, in saved_: what is kept of it; what is not all share its beginning
  std::size_t head_kept_bytes_[2];    // of a micro-batch, by schedule
  StepReport report_;
  Optimizer optimizer_;
  GradientReducer reducer_;
  LayerStreamer streamer_;
};

}  // namespace shardlora
