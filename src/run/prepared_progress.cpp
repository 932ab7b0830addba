#include "run/prepared_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "run/progress.h"

namespace shardlora {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

PreparedProgress::PreparedProgress() : terminal_(isatty(STDERR_FILENO) != 0) {}

void PreparedProgress::operator()(std::uint64_t done, std::uint64_t all) {
  if (done == 0) began_ = told_ = Clock::now();  // before that the source was hashed
  if (done == 0) return;
  const double seconds = seconds_since(began_), rate = static_cast<double>(done) / std::max(seconds, 1e-9);
  const bool last = done == all;
  if (!last && seconds_since(told_) < (terminal_ ? 0.2 : 5)) return;
  told_ = Clock::now();
  const double gigabytes = static_cast<double>(all) / 1e9;
  const std::string left = minutes_and_seconds(static_cast<double>(all - done) / rate);
  const std::string facts = fmt::format("{:.2f}/{:.2f} GB | {:.2f} GB/s | left {}", static_cast<double>(done) / 1e9,
                                        gigabytes, rate / 1e9, left);
  if (terminal_)
    fmt::print(stderr, "\r{} {}\033[K{}",
               progress_bar(static_cast<std::int64_t>(done), static_cast<std::int64_t>(all), 20), facts,
               last ? "\n" : "");
  else
    fmt::print(stderr, "{}\n", facts);
  std::fflush(stderr);
}

}  // namespace shardlora
