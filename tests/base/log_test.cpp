#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace shardlora {
namespace {

std::string stderr_of(int rank) {
  ::testing::internal::CaptureStderr();
  start_log(rank);
  spdlog::info("step 1");
  spdlog::warn("careful");
  spdlog::error("broken");
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, IsPlainTextOnRankZeroAndSilentElsewhere) {
  EXPECT_EQ(stderr_of(0), "step 1\nwarning: careful\nerror: broken\n");
  EXPECT_EQ(stderr_of(1), "");
}

TEST(Log, GoesToTheRunsFileToo) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("shardlora_log_" + std::to_string(::getpid()))).string();
  ::testing::internal::CaptureStderr();
  start_log(0);
  spdlog::info("before");
  log_to_file(path);
  spdlog::warn("after");
  start_log(0);  // closes the file
  ::testing::internal::GetCapturedStderr();
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_THAT(text.str(), ::testing::MatchesRegex("[^\n]* info before\n[^\n]* warning after\n"));
  std::filesystem::remove(path);
  EXPECT_THROW(log_to_file("/proc/nowhere/run.log"), Error);
}

TEST(Log, UsesNoColoursInAPipe) { EXPECT_FALSE(colours_wanted(-1)); }

}  // namespace
}  // namespace shardlora
