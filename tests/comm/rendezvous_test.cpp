#include "comm/rendezvous.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>
#include <utility>

#include "base/error.h"
#include "comm/process.h"

namespace shardlora {
namespace {

constexpr const char* kLauncherVariables[] = {
    "OMPI_COMM_WORLD_SIZE", "PMIX_RANK",  "PMI_RANK",         "PMI_SIZE",
    "WORLD_SIZE",           "RANK",       "SLURM_NTASKS",     "SLURM_STEP_NUM_TASKS",
    "SLURM_PROCID",         "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
    "MASTER_PORT"};

// The environment of a launcher, for one test.
class Launched {
 public:
  Launched(std::initializer_list<std::pair<const char*, const char*>> variables) {
    clear();
    for (const auto& [name, value] : variables) setenv(name, value, 1);
  }
  ~Launched() { clear(); }

 private:
  static void clear() {
    for (const char* name : kLauncherVariables) unsetenv(name);
  }
};

std::string error_of_start() {
  try {
    make_rendezvous();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Rendezvous, IsASingleRankWithoutALauncher) {
  const Launched launched{};
  const auto rendezvous = make_rendezvous();
  EXPECT_EQ(rendezvous->size(), 1);
  EXPECT_EQ(rendezvous->local_size(), 1);
}

TEST(Rendezvous, IsASingleRankInAnInteractiveAllocationAndInABatchScript) {
  const Launched launched{{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}};
  EXPECT_EQ(make_rendezvous()->size(), 1);
}

TEST(Rendezvous, IsASingleRankUnderTorchrunOfOne) {
  const Launched launched{{"RANK", "0"}, {"WORLD_SIZE", "1"}};
  EXPECT_EQ(make_rendezvous()->size(), 1);
}

TEST(Rendezvous, SaysWhatTorchrunsVariablesLack) {
  {
    const Launched launched{{"WORLD_SIZE", "4"}};
    EXPECT_THAT(error_of_start(), testing::HasSubstr("WORLD_SIZE=4, but RANK is not set"));
  }
  {
    const Launched launched{{"RANK", "4"}, {"WORLD_SIZE", "4"}};
    EXPECT_THAT(error_of_start(), testing::HasSubstr("RANK=4 and WORLD_SIZE=4"));
  }
  {
    const Launched launched{{"RANK", "1"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "127.0.0.1"}};
    EXPECT_THAT(error_of_start(), testing::HasSubstr("set MASTER_ADDR and MASTER_PORT"));
  }
  {
    const Launched launched{{"RANK", "first"}, {"WORLD_SIZE", "4"}};
    EXPECT_THAT(error_of_start(), testing::HasSubstr("RANK=first"));
  }
}

TEST(Rendezvous, SaysThatRanksOfSrunNeedPmi) {
  const Launched launched{{"SLURM_NTASKS", "2"}, {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}};
  EXPECT_THAT(error_of_start(), testing::HasSubstr("srun --mpi=pmix"));
}

// This test program does not lie beside the module.
TEST(Rendezvous, SaysWhereTheMpiModuleIsMissing) {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    const Launched launched{{variable, "2"}};
    EXPECT_THAT(error_of_start(), testing::HasSubstr("libshardlora_mpi.so is neither beside the program nor in"))
        << variable;
  }
}

TEST(Rendezvous, RefusesAWorldSizeThatIsNoNumber) {
  const Launched launched{{"WORLD_SIZE", "two"}};
  EXPECT_THAT(error_of_start(), testing::HasSubstr("WORLD_SIZE=two"));
}

TEST(Process, HasAStartThatTellsItFromLaterOnes) {
  const std::uint64_t start = process_start(getpid());
  EXPECT_GT(start, 0U);
  EXPECT_EQ(process_start(getpid()), start);
  EXPECT_EQ(process_start(-1), 0U);
}

}  // namespace
}  // namespace shardlora
