// How far a run is from its golden: one line for every quantity that is farther than it may be. No lines: the same
// model, the same step, the same training. The planted bugs are caught by the same lines.
#pragma once

#include <cmath>

#include "golden_job.h"

namespace shardlora {

// What two correct programs in f32 may differ by. Unit roundoff is 6e-8; a value here goes through some 30 sums of 8 to
// 96 terms in another order, so logits differ by some 5e-7, gradients, which pass twice as many sums, by 1e-6. Where a
// gradient is near zero, AdamW's division by its size passes that on to the parameter: after twenty steps adapters and
// losses differ by a few 1e-6. The limits leave room for the orders of summation of other processors.
constexpr double kLogitsLimit = 1e-5, kLossLimit = 1e-5, kGradientLimit = 1e-4, kAdapterLimit = 1e-5;

// ||a - b|| / ||b||. Not a number if anything in a is not.
template <typename A>
double distance(const A& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    difference += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
    size += static_cast<double>(b[i]) * b[i];
  }
  return std::sqrt(difference / size);
}

using Differences = std::vector<std::string>;

inline void compare(Differences& lines, const std::string& what, double distance, double limit) {
  if (!(distance <= limit))
    lines.push_back(fmt::format("{}: off by {:.1e}, allowed are {:.1e}", what, distance, limit));
}

// What the golden calls a parameter of ours.
inline std::string golden_name(const std::string& kind, const std::string& parameter) {
  return kind + ".base_model.model." + parameter;
}

inline void compare_forward(Differences& lines, const GoldenResult& run, const Golden& golden) {
  compare(lines, "logits", distance(run.forward.logits, golden.step.at("logits")), kLogitsLimit);
  compare(lines, "token losses", distance(run.forward.token_losses, golden.step.at("token_losses")), kLossLimit);
  compare(lines, "loss", distance(std::vector{run.losses[0]}, golden.step.at("loss")), kLossLimit);
}

inline void compare_gradients(Differences& lines, const GoldenResult& run, const Golden& golden) {
  for (const auto& [name, gradient] : run.gradient)
    compare(lines, "gradient of " + name, distance(gradient, golden.step.at(golden_name("grad", name))),
            kGradientLimit);
}

inline void compare_training(Differences& lines, const GoldenResult& run, const Golden& golden) {
  for (std::size_t s = 0; s < run.losses.size(); ++s) {
    const auto at = [&](const char* what) { return std::vector{golden.training.at(what)[s]}; };
    compare(lines, fmt::format("step {}: loss", s + 1), distance(std::vector{run.losses[s]}, at("loss")), kLossLimit);
    compare(lines, fmt::format("step {}: gradient norm", s + 1),
            distance(std::vector{run.grad_norms[s]}, at("grad_norm")), kGradientLimit);
    if (at("learning_rate")[0] > 0)
      compare(lines, fmt::format("step {}: learning rate", s + 1),
              distance(std::vector{run.learning_rates[s]}, at("learning_rate")), 1e-7);
  }
  if (run.losses.size() != golden.training.at("loss").size()) return;
  for (const auto& [name, tensor] : run.adapter.tensors)
    compare(lines, "trained " + name, distance(tensor.values, golden.training.at(golden_name("final", name))),
            kAdapterLimit);
}

// Of every rank. A run that ends with an Error differs by that.
inline Differences differences(const GoldenJob& job, const Golden& golden) {
  Differences lines;
  try {
    for (const GoldenResult& result : run(job)) {
      compare_forward(lines, result, golden);
      compare_gradients(lines, result, golden);
      compare_training(lines, result, golden);
    }
  } catch (const Error& error) {
    lines.push_back(fmt::format("the run ended: {}", error.what()));
  }
  return lines;
}

inline Differences differences(const GoldenJob& job) { return differences(job, Golden(job.variant)); }

}  // namespace shardlora
