#include "run/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace shardlora {

std::string minutes_and_seconds(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::lround(std::max(0.0, seconds)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string progress_bar(std::int64_t done, std::int64_t total, std::size_t cells) {
  const auto filled =
      static_cast<std::size_t>(static_cast<double>(cells) * static_cast<double>(done) / static_cast<double>(total));
  return "[" + std::string(filled, '#') + std::string(cells - filled, '.') + "]";
}

namespace {

std::size_t columns_of_terminal() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

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
  const std::string left = minutes_and_seconds(per_step * static_cast<double>(total_ - step));
  if (terminal_) {
    const std::string facts =
        fmt::format(" {}/{} | loss {:.4f} | {:.0f} tok/s | left {}", step, total_, loss, rate, left);
    const std::size_t columns = columns_of_terminal(),
                      taken = facts.size() + 3;  // brackets, and a column for the cursor
    const std::string bar =
        columns < taken + 5 ? "" : progress_bar(step, total_, std::min<std::size_t>(columns - taken, 40));
    fmt::print(stderr, "\r{}{}\x1b[K", bar, facts);
    std::fflush(stderr);
    open_line_ = true;
  } else if (step % every_ == 0 || step == total_) {
    fmt::print(stderr, "step {}/{} {:3.0f}% | loss {:.4f} | lr {:.2e} | {:.0f} tok/s | left {}\n", step, total_,
               100.0 * static_cast<double>(step) / static_cast<double>(total_), loss, learning_rate, rate, left);
    std::fflush(stderr);
  }
  return static_cast<double>(tokens) / seconds;
}

void Progress::end_line() {
  if (open_line_) fmt::print(stderr, "\n");
  open_line_ = false;
}

void Progress::resume() { last_ = Clock::now(); }

}  // namespace shardlora
