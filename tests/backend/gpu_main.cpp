// Runs tests that need a GPU; where there is none it says why and ends with 77, which ctest counts as skipped.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "backend/gpu.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const std::string obstacle = shardlora::gpu_obstacle(); !obstacle.empty() && !GTEST_FLAG_GET(list_tests)) {
    fmt::print("Skipped: {}\n", obstacle);
    return 77;
  }
  return RUN_ALL_TESTS();
}
