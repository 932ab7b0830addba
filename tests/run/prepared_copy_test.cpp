// A prepared base that cannot be kept: the run goes on where it can.
#include "run/prepared_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <atomic>
#include <cerrno>

#include "base/disk.h"
#include "checkpoint/tiny_llama.h"
#include "io/temporary_directory.h"
#include "run/base_formats.h"
#include "train/thread_ranks.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// A disk that takes so many writes and no more, or that lets no file be made.
class PoorDisk final : public Disk {
 public:
  PoorDisk(int writes, bool lets_make) : writes_(writes), lets_make_(lets_make) {}
  int open(const char* path, int flags, unsigned mode) override {
    if ((flags & O_CREAT) == 0 || lets_make_) return Disk::open(path, flags, mode);
    errno = EACCES;
    return -1;
  }
  ssize_t pwrite(int descriptor, const void* from, std::size_t bytes, off_t offset) override {
    if (writes_-- > 0) return Disk::pwrite(descriptor, from, bytes, offset);
    errno = ENOSPC;
    return -1;
  }

 private:
  std::atomic<int> writes_;
  const bool lets_make_;
};

// Whether each rank got a prepared base.
std::vector<int> kept(const BaseModel& base, const std::filesystem::path& cache, int ranks, Needed needed) {
  return on_thread_ranks(ranks, [&](Rendezvous& rendezvous) -> int {
    Recipe recipe;
    recipe.backend = Backend::kCpu;
    recipe.base_prepared_path = cache.string();
    Ranks all(rendezvous, recipe);
    const Quantization q = settled({.format = "nf4", .by_name = true, .group_size = 32}, base);
    return prepared_copy(all, recipe, q, base, needed) ? 1 : 0;
  });
}

bool holds_nothing(const std::filesystem::path& cache) {
  for (const auto& entry : std::filesystem::directory_iterator(cache))
    if (entry.is_directory()) return false;
  return true;
}

class PreparedCopy : public testing::Test {
 protected:
  const Opened source_{tiny_llama()};
  const TemporaryDirectory cache_;
};

TEST_F(PreparedCopy, IsKeptWhereThereIsRoom) {
  EXPECT_EQ(kept(source_.base, cache_.path(), 2, Needed::kNo), (std::vector<int>{1, 1}));
  EXPECT_FALSE(holds_nothing(cache_.path()));
}

TEST_F(PreparedCopy, IsGivenUpOnEveryRankWhereTheDiskRunsFull) {
  for (const int ranks : {1, 2})
    for (const int writes : {0, 3, 8}) {
      PoorDisk full(writes, true);
      const DiskInstead instead(full);
      EXPECT_EQ(kept(source_.base, cache_.path(), ranks, Needed::kNo),
                std::vector<int>(static_cast<std::size_t>(ranks)))
          << ranks << " ranks, " << writes << " writes";
      EXPECT_TRUE(holds_nothing(cache_.path())) << "a full disk is wanted for what is trained";
    }
}

TEST_F(PreparedCopy, IsGivenUpWhereTheFolderCannotBeWritten) {
  PoorDisk locked(1 << 20, false);
  const DiskInstead instead(locked);
  EXPECT_EQ(kept(source_.base, cache_.path(), 2, Needed::kNo), (std::vector<int>{0, 0}));
}

TEST_F(PreparedCopy, IsAnErrorWhereTheBaseRestsOnDisk) {
  PoorDisk full(3, true);
  const DiskInstead instead(full);
  EXPECT_THAT([&] { kept(source_.base, cache_.path(), 2, Needed::kYes); },
              ThrowsMessage<Error>(AllOf(HasSubstr("No space left on device"), HasSubstr("rests on disk"),
                                         HasSubstr("base_prepared_path"))));
}

}  // namespace
}  // namespace shardlora
