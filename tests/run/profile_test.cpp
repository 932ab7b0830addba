#include "run/profile.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace shardlora {
namespace {

TEST(Trace, IsAListOfCompleteEventsWithNamedThreads) {
  const std::vector<Span> spans{{"uploads", "layers.1", 1'500'000, 2'000'500},
                                {"compute", "waits: upload", 1'600'000, 2'100'000},
                                {"uploads", "layers.2", 2'000'500, 3'000'000}};
  EXPECT_EQ(nlohmann::json::parse(chrome_trace(spans, 3)), nlohmann::json::parse(R"([
    {"name": "process_name", "ph": "M", "pid": 3, "tid": 0, "args": {"name": "rank 3"}},
    {"name": "thread_name", "ph": "M", "pid": 3, "tid": 0, "args": {"name": "uploads"}},
    {"name": "layers.1", "ph": "X", "pid": 3, "tid": 0, "ts": 1500.0, "dur": 500.5},
    {"name": "thread_name", "ph": "M", "pid": 3, "tid": 1, "args": {"name": "compute"}},
    {"name": "waits: upload", "ph": "X", "pid": 3, "tid": 1, "ts": 1600.0, "dur": 500.0},
    {"name": "layers.2", "ph": "X", "pid": 3, "tid": 0, "ts": 2000.5, "dur": 999.5}])"));
}

TEST(Trace, HasARankInItsNameWhereThereAreSeveral) {
  EXPECT_EQ(trace_file("runs/trace.json", 0, 1), "runs/trace.json");
  EXPECT_EQ(trace_file("runs/trace.json", 1, 2), "runs/trace.rank1.json");
  EXPECT_EQ(trace_file("trace", 1, 2), "trace.rank1");
}

}  // namespace
}  // namespace shardlora
