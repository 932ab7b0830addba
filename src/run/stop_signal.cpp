#include "run/stop_signal.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace shardlora {
namespace {

std::atomic<int> requests{0};

void on_signal(int number) {
  if (requests.fetch_add(1) > 0) _exit(128 + number);
}

}  // namespace

void watch_stop_signals() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() { return requests.load() > 0; }

}  // namespace shardlora
