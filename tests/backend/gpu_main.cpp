// Runs tests that need a GPU; where there is none it says why and ends with 77, which ctest counts as skipped. What
// else is missing beside a GPU fails.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "backend/gpu.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (shardlora::gpu_count() == 0 && !GTEST_FLAG_GET(list_tests)) {
    fmt::print("Skipped: {}\n", shardlora::gpu_obstacle());
    return 77;
  }
  return RUN_ALL_TESTS();
}
