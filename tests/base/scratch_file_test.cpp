#include "base/scratch_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <limits>

#include "base/disk.h"
#include "base/error.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::size_t kBlock = 4096;
using Blocks = std::array<std::byte, 3 * kBlock>;

// Takes O_DIRECT or not, moves so many bytes at a time, and breaks where a transfer needs a certain byte.
struct ScratchDisk : Disk {
  bool direct = true, full = false;
  std::size_t at_once = SIZE_MAX;
  off_t breaks_at = std::numeric_limits<off_t>::max();
  off_t claimed = 0;

  int open(const char* path, int flags, unsigned mode) override {
    errno = EINVAL;
    return !direct && (flags & O_DIRECT) != 0 ? -1 : Disk::open(path, flags, mode);
  }
  int allocate(int descriptor, off_t bytes) override {
    errno = ENOSPC;
    claimed = bytes;
    return full ? -1 : Disk::allocate(descriptor, bytes);
  }
  ssize_t pwrite(int descriptor, const void* from, std::size_t bytes, off_t offset) override {
    return broken(std::min(bytes, at_once), offset) ? -1
                                                    : Disk::pwrite(descriptor, from, std::min(bytes, at_once), offset);
  }
  ssize_t pread(int descriptor, void* to, std::size_t bytes, off_t offset) override {
    return broken(std::min(bytes, at_once), offset) ? -1
                                                    : Disk::pread(descriptor, to, std::min(bytes, at_once), offset);
  }
  bool broken(std::size_t bytes, off_t offset) const {
    errno = EIO;
    return offset + static_cast<off_t>(bytes) > breaks_at;
  }
};

void fill(Blocks& blocks) {
  for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<std::byte>(i * 7 + i / kBlock);
}

TEST(ScratchFile, GivesBackWhatWasWrittenAndHasNoName) {
  const TemporaryDirectory directory;
  for (const bool direct : {true, false}) {
    for (const std::size_t at_once : {SIZE_MAX, 2 * kBlock, std::size_t{1000}}) {
      ScratchDisk disk;
      disk.direct = direct;
      disk.at_once = at_once;
      const DiskInstead instead(disk);
      ScratchFile file(directory.path() / "new", 8 * kBlock);
      EXPECT_EQ(disk.claimed, 8 * kBlock);
      EXPECT_TRUE(std::filesystem::is_empty(directory.path() / "new"));
      EXPECT_LE(file.direct(), direct);
      alignas(kBlock) Blocks written{}, read{};
      fill(written);
      file.write_at(5 * kBlock, written);
      file.read_at(5 * kBlock, read);
      EXPECT_EQ(read, written) << direct << ", " << at_once << " bytes at a time";
    }
  }
}

TEST(ScratchFile, TellsOfAFullDiskAtOnce) {
  const TemporaryDirectory directory;
  ScratchDisk disk;
  disk.full = true;
  const DiskInstead instead(disk);
  EXPECT_THAT([&] { ScratchFile(directory.path(), 3 << 20); },
              ThrowsMessage<OutOfMemory>(AllOf(HasSubstr(directory.path().string()), HasSubstr("no room for 3.0 MiB"),
                                               HasSubstr("No space left on device"))));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(ScratchFile, TellsWhereTheDiskFailed) {
  const TemporaryDirectory directory;
  alignas(kBlock) Blocks blocks{};
  ScratchDisk disk;
  const DiskInstead instead(disk);
  ScratchFile file(directory.path(), 8 * kBlock);
  disk.at_once = kBlock;
  disk.breaks_at = 6 * kBlock;
  EXPECT_NO_THROW(file.write_at(0, blocks));
  EXPECT_THAT([&] { file.write_at(5 * kBlock, blocks); },
              ThrowsMessage<Error>(HasSubstr("cannot be written at offset 24576: Input/output error")));
  EXPECT_THAT([&] { file.read_at(5 * kBlock, blocks); },
              ThrowsMessage<Error>(HasSubstr("cannot be read at offset 24576: Input/output error")));
}

}  // namespace
}  // namespace shardlora
