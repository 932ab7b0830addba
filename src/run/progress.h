// How far the run is: a bar with its facts on one line of a terminal, rewritten in place; elsewhere a plain line every
// logging_steps.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace shardlora {

class Progress {
 public:
  Progress(std::int64_t total_steps, std::int64_t logging_steps);
  ~Progress() { end_line(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // After step `step` (from 1). Returns the tokens per second of this step.
  double step_done(std::int64_t step, std::int64_t tokens, double loss, double learning_rate);
  // Puts the cursor on a fresh line, so that other text can follow.
  void end_line();
  // Time since the last step was not training (an evaluation) and is not counted.
  void resume();

 private:
  using Clock = std::chrono::steady_clock;
  std::int64_t total_, every_;
  bool terminal_, open_line_ = false;
  Clock::time_point last_;
  double seconds_ = 0;       // of all steps but the first, which also warms up
  std::int64_t tokens_ = 0;  // of the same
  std::int64_t steps_ = 0;
};

std::string minutes_and_seconds(double seconds);  // "4:05", "1:02:03"
// "[####....]" with so many cells.
std::string progress_bar(std::int64_t done, std::int64_t total, std::size_t cells);

}  // namespace shardlora
