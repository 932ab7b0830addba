// Messages to the person: on stderr from rank 0 only, in plain text (info without a prefix), and all of it with time
// and level in the run's log once `log_to_file` named it. Code logs with spdlog::info, warn and error.
#pragma once

#include <string>

namespace shardlora {

// Colours only on a terminal, and not with NO_COLOR set (no-color.org).
bool colours_wanted(int descriptor);

// Call once, before the first message. Ranks other than 0 stay silent on stderr.
void start_log(int rank);
// Appends the last hundred messages since start_log, and all from now on, to `path`; the folder must exist. Call on
// rank 0 only.
void log_to_file(const std::string& path);

}  // namespace shardlora
