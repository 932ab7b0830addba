#include "base/direct_reader.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "base/reading_disk.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::size_t kPage = 4096, kFileBytes = 37 * kPage + 1234;
constexpr ReadPattern kSmall{3, 2 * kPage};  // many blocks in a short file
constexpr ReadRoute kRoutes[] = {ReadRoute::kRing, ReadRoute::kRingThroughCache, ReadRoute::kPlain};

std::string random_text(std::size_t bytes) {
  std::mt19937 random(1);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

// Memory that begins `skew` bytes behind a page's beginning.
class Target {
 public:
  Target(std::size_t bytes, std::size_t skew) : memory_(bytes + 2 * kPage, '#'), bytes_(bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    at_ = (kPage - address % kPage) % kPage + skew;
  }
  std::byte* data() { return reinterpret_cast<std::byte*>(memory_.data() + at_); }
  std::string text() const { return memory_.substr(at_, bytes_); }
  bool untouched_around() const {
    const std::string before = memory_.substr(0, at_), behind = memory_.substr(at_ + bytes_);
    return (before + behind).find_first_not_of('#') == std::string::npos;
  }

 private:
  std::string memory_;
  std::size_t bytes_, at_;
};

// What holds for every route holds for the one that is taken where the system, or the file system, offers less.
class RouteTest : public ::testing::TestWithParam<ReadRoute> {
 protected:
  TemporaryDirectory directory_;
  std::string text_ = random_text(kFileBytes);
  std::filesystem::path path_ = directory_.write("base", text_);
  DirectReader reader_{path_, kSmall, GetParam()};
};

INSTANTIATE_TEST_SUITE_P(DirectReader, RouteTest, ::testing::ValuesIn(kRoutes));

TEST_P(RouteTest, GivesTheFilesBytesAtAllAlignments) {
  for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, kPage - 1, kPage, 3 * kPage + 100})
    for (const std::size_t skew : {std::size_t{0}, std::size_t{1}, std::size_t{100}, offset % kPage})
      for (const std::size_t bytes :
           {std::size_t{0}, std::size_t{1}, kPage, kPage + 1, 2 * kPage - 1, 9 * kPage + 17, kFileBytes - offset}) {
        Target target(bytes, skew);
        reader_.read(target.data(), bytes, offset);
        EXPECT_EQ(target.text(), text_.substr(offset, bytes)) << bytes << " at " << offset << " to " << skew;
        EXPECT_TRUE(target.untouched_around()) << bytes << " at " << offset << " to " << skew;
      }
}

TEST_P(RouteTest, ReadsManyRunsInOneGo) {
  Target first(5 * kPage, 0), second(7 * kPage, 12), third(3, 0);
  const std::array<ReadRun, 3> runs = {{{first.data(), 5 * kPage, 20 * kPage},
                                        {second.data(), 7 * kPage, kPage + 12},
                                        {third.data(), 3, kFileBytes - 3}}};
  reader_.read(runs);
  EXPECT_EQ(first.text(), text_.substr(20 * kPage, 5 * kPage));
  EXPECT_EQ(second.text(), text_.substr(kPage + 12, 7 * kPage));
  EXPECT_EQ(third.text(), text_.substr(kFileBytes - 3));
}

TEST_P(RouteTest, ReadsHolesAsZeros) {
  std::filesystem::resize_file(path_, 8 * kPage);
  std::filesystem::resize_file(path_, kFileBytes);  // the rest is a hole
  Target target(kFileBytes - kPage, 0);
  reader_.read(target.data(), kFileBytes - kPage, kPage);
  EXPECT_EQ(target.text(), text_.substr(kPage, 7 * kPage) + std::string(kFileBytes - 8 * kPage, '\0'));
}

TEST_P(RouteTest, NamesThePlaceWhereAFileWasCut) {
  Target target(kFileBytes, 0);
  for (const std::size_t end : {10 * kPage, 10 * kPage + 5}) {
    std::filesystem::resize_file(path_, end);
    EXPECT_THAT([&] { reader_.read(target.data(), 20 * kPage, 2 * kPage); },
                ThrowsMessage<Error>(AllOf(HasSubstr(path_.string()), HasSubstr("became shorter"),
                                           HasSubstr(fmt::format("ends at {} now", end)), HasSubstr("put it back"))));
  }
  Target whole(2 * kPage, 0);  // and it goes on reading what is there
  reader_.read(whole.data(), 2 * kPage, kPage);
  EXPECT_EQ(whole.text(), text_.substr(kPage, 2 * kPage));
}

// Memory that cannot be written to makes the system's read fail in the middle of a run.
TEST_P(RouteTest, NamesThePlaceWhereAReadFailsAndGoesOn) {
  constexpr std::size_t kBytes = 20 * kPage, kBad = 3 * kSmall.block;
  void* const memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* const bytes = static_cast<std::byte*>(memory);
  ASSERT_EQ(::mprotect(bytes + kBad, kSmall.block, PROT_NONE), 0);
  EXPECT_THAT([&] { reader_.read(bytes, kBytes, 0); },
              ThrowsMessage<Error>(HasSubstr(fmt::format("base: cannot be read at offset {}: Bad address", kBad))));
  ASSERT_EQ(::mprotect(bytes + kBad, kSmall.block, PROT_READ | PROT_WRITE), 0);
  reader_.read(bytes, kBytes, 0);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes), kBytes), text_.substr(0, kBytes));
  ::munmap(memory, kBytes);
}

TEST_P(RouteTest, RefusesWhatTheFileNeverHad) {
  Target target(2 * kPage, 0);
  EXPECT_THAT([&] { reader_.read(target.data(), 2 * kPage, 36 * kPage); },
              ThrowsMessage<Error>(HasSubstr("the file is cut short")));
  EXPECT_THROW(reader_.read(target.data(), 2 * kPage, ~std::uint64_t{0} - kPage + 1), Error);
}

TEST_P(RouteTest, ServesThreadsOtherThanItsMakersOneAfterTheOther) {
  std::array<Target, 2> targets = {Target(30 * kPage, 0), Target(30 * kPage, 0)};
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 20; ++round) reader_.read(targets[t].data(), 30 * kPage, t * kPage);
    });
  threads.clear();
  for (std::size_t t = 0; t < 2; ++t) EXPECT_EQ(targets[t].text(), text_.substr(t * kPage, 30 * kPage));
}

TEST(DirectReader, ReadsARemovedFileOnAndFindsAChangedOne) {
  const TemporaryDirectory directory;
  const std::string text = random_text(kFileBytes);
  const auto path = directory.write("base", text);
  DirectReader reader(path, kSmall);
  Target target(20 * kPage, 0);
  std::filesystem::rename(directory.write("other", random_text(10)), path);
  reader.file().check_unchanged();
  reader.read(target.data(), 20 * kPage, 0);
  EXPECT_EQ(target.text(), text.substr(0, 20 * kPage));

  const auto second = directory.write("second", text);
  const DirectReader other(second, kSmall);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a file system's clock ticks a hundred times a second
  directory.write("second", text);
  EXPECT_THAT([&] { other.file().check_unchanged(); }, ThrowsMessage<Error>(HasSubstr("second: was changed")));
}

// What a test's disk is asked for, and what becomes of its faults.
class SeamTest : public ::testing::Test {
 protected:
  void read(ReadingDisk& disk, const ReadRun& run) {
    const DiskInstead instead(disk);
    DirectReader reader(path_, kSmall);
    EXPECT_EQ(reader.route(), ReadRoute::kPlain);
    reader.read({&run, 1});
  }
  TemporaryDirectory directory_;
  std::string text_ = random_text(kFileBytes);
  std::filesystem::path path_ = directory_.write("base", text_);
  Target target_{20 * kPage, 0};
  ReadRun run_{target_.data(), 20 * kPage, kPage};
};

TEST_F(SeamTest, ATestsDiskSeesAllThatIsReadAndMayTearIt) {
  ReadingDisk disk({.at_once = 1000});
  read(disk, run_);
  EXPECT_EQ(target_.text(), text_.substr(kPage, 20 * kPage));
  std::size_t read_bytes = 0;
  for (const ReadingDisk::Read& r : disk.reads()) read_bytes += r.bytes;
  EXPECT_EQ(read_bytes, 20 * kPage);
}

TEST_F(SeamTest, AReaderThatHasItsRingGoesToATestsDiskToo) {
  DirectReader reader(path_, kSmall);
  ReadingDisk disk;
  const DiskInstead instead(disk);
  reader.read({&run_, 1});
  EXPECT_EQ(disk.reads().size(), 1U);
}

TEST_F(SeamTest, ADiskThatFailsIsNamedWithItsPlace) {
  ReadingDisk disk({.breaks_at = 5 * kPage});
  EXPECT_THAT([&] { read(disk, run_); },
              ThrowsMessage<Error>(AllOf(HasSubstr(path_.string()), HasSubstr("cannot be read at offset 4096"),
                                         HasSubstr("Input/output error"), HasSubstr("check the disk"))));
}

TEST_F(SeamTest, ADiskThatEndsIsNamedWithItsPlace) {
  ReadingDisk disk({.ends_at = 5 * kPage});
  EXPECT_THAT([&] { read(disk, run_); }, ThrowsMessage<Error>(HasSubstr("ends at 20480 now")));
}

TEST_F(SeamTest, ASlowDiskGivesSoManyBytesASecondToAllThreadsTogether) {
  constexpr double kRate = 2e6;
  ReadingDisk disk({.bytes_per_second = kRate});
  const DiskInstead instead(disk);
  const auto began = std::chrono::steady_clock::now();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      Target target(30 * kPage, 0);
      DirectReader(path_, kSmall).read(target.data(), 30 * kPage, 0);
    });
  threads.clear();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  EXPECT_GE(seconds, 60 * kPage / kRate);
}

// The calls of the system that a container may forbid, forbidden: from now on, in this process.
void forbid(std::vector<sock_filter> filter) {
  filter.insert(filter.begin(), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    std::_Exit(3);
}
constexpr std::uint32_t error_code(int error) { return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error); }

// Two readers where a call is forbidden; ends the process with 0 where both take `route` and give the file's bytes.
[[noreturn]] void read_where_forbidden(const std::vector<sock_filter>& filter, ReadRoute route) {
  const TemporaryDirectory directory;
  const std::string text = random_text(kFileBytes);
  const auto path = directory.write("base", text);
  forbid(filter);
  start_log(0);
  bool right = true;
  for (int i = 0; i < 2; ++i) {
    Target target(20 * kPage, 0);
    DirectReader reader(path, kSmall);
    reader.read(target.data(), 20 * kPage, kPage);
    right = right && reader.route() == route && target.text() == text.substr(kPage, 20 * kPage);
  }
  std::filesystem::remove_all(directory.path());
  std::_Exit(right ? 0 : 1);
}

constexpr const char* kNoRing = "^the system allows no io_uring here \\(Operation not permitted\\): [^\n]*\n$";
constexpr const char* kNone = "^the system allows no io_uring here \\([^\n]*\\): [^\n]*\n$";  // whatever its reason
constexpr const char* kNoDirect = "^[^\n]*base: its file system takes no O_DIRECT: [^\n]*\n$";

TEST(DirectReaderDeathTest, ReadsByPreadWhereIoUringIsForbiddenAndSaysSoOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own: what is said once was not said yet
  EXPECT_EXIT(read_where_forbidden({BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
                                    BPF_STMT(BPF_RET | BPF_K, error_code(EPERM))},
                                   ReadRoute::kPlain),
              ::testing::ExitedWithCode(0), kNoRing);
}

TEST(DirectReaderDeathTest, ReadsThroughTheCacheWhereTheFileSystemRefusesAndSaysSoOnce) {
  const TemporaryDirectory directory;
  const ReadRoute here = DirectReader(directory.write("base", "x"), {}, ReadRoute::kRingThroughCache).route();
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(read_where_forbidden(
                  {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 3),
                   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
                   BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_DIRECT, 0, 1), BPF_STMT(BPF_RET | BPF_K, error_code(EINVAL))},
                  here),
              ::testing::ExitedWithCode(0), here == ReadRoute::kPlain ? kNone : kNoDirect);
}

}  // namespace
}  // namespace shardlora
