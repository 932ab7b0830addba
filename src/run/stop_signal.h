// Ctrl-C and SIGTERM: the first one asks for a clean end after the step, the second one ends the process at once.
#pragma once

namespace shardlora {

void watch_stop_signals();
bool stop_requested();

}  // namespace shardlora
