// Where the time of a run goes: what computing stood still for, in every step, and a Chrome trace of the first ones.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <span>
#include <string>

#include "backend/timeline.h"
#include "run/ranks.h"

namespace shardlora {

class Profile {
 public:
  static constexpr std::int64_t kTracedSteps = 3;

  // Measures from now on. `trace`: the file for the trace, as Recipe::profile; where it is empty none is made, and
  // waits are measured only where that costs nothing (on a CPU).
  Profile(Ranks& ranks, std::string trace);

  // After a step: {"read": [seconds, by rank], ...} of what computing stood still for in it; null where that is not
  // measured. Collective.
  nlohmann::ordered_json waits_of_step();
  // What was waited for since the last step was not training (an evaluation), and is not counted.
  void resume() { ranks_.device->timeline().take_waits(); }
  // Training is over, though it may have been shorter than the trace would be.
  void finish();

 private:
  void write_trace();

  Ranks& ranks_;
  std::string trace_;
  std::int64_t steps_ = 0;
};

// "trace.json" of one rank alone, "trace.rank0.json" of several.
std::filesystem::path trace_file(const std::filesystem::path& trace, int rank, int ranks);
// The trace of a rank: a JSON array of complete events (pid: the rank, tid: the stream, microseconds), as
// chrome://tracing and Perfetto open it ("Trace Event Format", Google).
std::string chrome_trace(std::span<const Span> spans, int rank);

}  // namespace shardlora
