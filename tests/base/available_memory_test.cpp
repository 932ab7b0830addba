#include "base/available_memory.h"

#include <gtest/gtest.h>

#include "io/temporary_directory.h"

namespace shardlora {
namespace {

// A machine with 1000 KiB, a process in /outer/inner.
class AvailableMemory : public testing::Test {
 protected:
  AvailableMemory() {
    std::filesystem::create_directories(root_.path() / "proc/self");
    std::filesystem::create_directories(root_.path() / "sys/fs/cgroup/outer/inner");
    root_.write("proc/meminfo", "MemTotal: 2000 kB\nMemAvailable:    1000 kB\n");
    root_.write("proc/self/cgroup", "1:name=systemd:/x\n0::/outer/inner\n");
  }
  void limit(const std::string& group, const std::string& max, const std::string& used, const std::string& cached) {
    const std::string at = "sys/fs/cgroup/" + group;
    root_.write(at + "/memory.max", max + "\n");
    root_.write(at + "/memory.current", used + "\n");
    root_.write(at + "/memory.stat", "anon 5\ninactive_file " + cached + "\n");
  }
  TemporaryDirectory root_;
};

TEST_F(AvailableMemory, IsTheKernelsEstimateWhereNothingElseLimits) {
  EXPECT_EQ(available_memory(root_.path()), 1000U * 1024);
  limit("outer", "max", "500", "0");
  EXPECT_EQ(available_memory(root_.path()), 1000U * 1024);
}

TEST_F(AvailableMemory, IsWhatTheTightestGroupLeaves) {
  limit("outer/inner", "900000", "100000", "40000");
  EXPECT_EQ(available_memory(root_.path()), 840000U);
  limit("outer", "300000", "100000", "0");
  EXPECT_EQ(available_memory(root_.path()), 200000U);
  limit("outer", "300000", "400000", "0");
  EXPECT_EQ(available_memory(root_.path()), 0U);
}

TEST_F(AvailableMemory, IsUnknownWhereTheSystemDoesNotSay) {
  EXPECT_EQ(available_memory(root_.path() / "nowhere"), std::nullopt);
}

TEST(AvailableMemoryHere, IsThere) { EXPECT_GT(available_memory().value_or(0), 1U << 20); }

}  // namespace
}  // namespace shardlora
