#include "train/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace shardlora {

std::string minutes_and_seconds(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::lround(std::max(0.0, seconds)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

Progress::Progress(std::int64_t total_steps, std::int64_t logging_steps)
    : total_(total_steps), every_(logging_steps), terminal_(isatty(STDERR_FILENO) == 1), last_(Clock::now()) {}

double Progress::step_done(std::int64_t step, std::int64_t tokens, double loss, double learning_rate) {
  const Clock::time_point now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - last_).count();
  last_ = now;
  if (steps_++ > 0 || total_ == 1) {
    seconds_ += seconds;
    tokens_ += tokens;
  }
  const double rate = seconds_ > 0 ? static_cast<double>(tokens_) / seconds_ : static_cast<double>(tokens) / seconds;
  const double per_step = steps_ > 1 ? seconds_ / static_cast<double>(steps_ - 1) : seconds;
  if (terminal_ || step % every_ == 0 || step == total_) {
    const std::string line =
        fmt::format("step {}/{} {:3.0f}% | loss {:.4f} | lr {:.2e} | {:.0f} tok/s | left {}", step, total_,
                    100.0 * static_cast<double>(step) / static_cast<double>(total_), loss, learning_rate, rate,
                    minutes_and_seconds(per_step * static_cast<double>(total_ - step)));
    fmt::print(stderr, "{}{}{}", terminal_ ? "\r" : "", line, terminal_ ? "\x1b[K" : "\n");
    std::fflush(stderr);
    open_line_ = terminal_;
  }
  return static_cast<double>(tokens) / seconds;
}

void Progress::end_line() {
  if (open_line_) fmt::print(stderr, "\n");
  open_line_ = false;
}

void Progress::resume() { last_ = Clock::now(); }

}  // namespace shardlora
