// Notices, from the losses of a run's steps as they come, that training makes the model worse: the loss stays above
// where it began, or at the logarithm of the vocabulary, which is what guessing gives. Windows of steps are compared,
// and what the losses scatter by is allowed for, so that one hard step is no alarm.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace shardlora {

class LossWatch {
 public:
  LossWatch(std::int64_t steps, std::int64_t vocabulary);

  // After every step. What is to be said of it, each trouble once; mostly nothing.
  std::string add(double loss, std::int64_t target_tokens);
  // After every evaluation of the same rows.
  std::string add_evaluation(std::int64_t step, double loss);
  // What is to be said where the run ends now; nothing of a run that went well.
  std::string verdict() const;

 private:
  struct Losses {
    double mean = 0, error = 0;  // the standard error of the mean
  };
  struct Step {
    double loss, weight;
  };
  struct Evaluation {
    std::int64_t step = 0;
    double loss = 0;
  };
  Losses of(std::size_t first, std::size_t count) const;
  bool rose(double& from, double& to) const;
  bool is_guessing(std::size_t window, double& loss) const;
  bool evaluation_rose() const;

  std::int64_t vocabulary_;
  std::size_t window_;
  std::vector<Step> steps_;
  Evaluation first_evaluation_, last_evaluation_;
  bool told_rise_ = false, told_guessing_ = false, told_evaluation_ = false;
};

}  // namespace shardlora
