#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <csignal>

#include "base/error.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::size_t count_files(const std::filesystem::path& directory) {
  const std::filesystem::directory_iterator begin(directory);
  return static_cast<std::size_t>(std::distance(begin, std::filesystem::directory_iterator()));
}

TEST(File, ReadsFromAnyOffset) {
  const TemporaryDirectory directory;
  const File file(directory.write("x", "0123456789"));
  EXPECT_EQ(file.size(), 10U);
  std::string part(4, ' ');
  file.read_at(6, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "6789");
}

TEST(File, RefusesToReadPastTheEnd) {
  const TemporaryDirectory directory;
  const File file(directory.write("x", "0123456789"));
  std::array<std::byte, 4> out{};
  EXPECT_THAT([&] { file.read_at(7, out); },
              ThrowsMessage<Error>(HasSubstr("has 10 bytes, 4 at offset 7 were wanted")));
  EXPECT_THROW(file.read_at(~std::uint64_t{0}, out), Error);
}

TEST(File, TellsThatAFileBecameShorter) {
  const TemporaryDirectory directory;
  const auto path = directory.write("x", "0123456789");
  const File file(path);
  std::filesystem::resize_file(path, 5);
  std::array<std::byte, 4> out{};
  EXPECT_THAT([&] { file.read_at(4, out); }, ThrowsMessage<Error>(HasSubstr("became shorter")));
}

TEST(File, OpensRegularFilesOnly) {
  const TemporaryDirectory directory;
  EXPECT_THAT([&] { File{directory.path()}; }, ThrowsMessage<Error>(HasSubstr("not a regular file")));
  EXPECT_THAT([&] { File{directory.path() / "none"}; }, ThrowsMessage<Error>(HasSubstr("No such file")));
  ASSERT_EQ(::mkfifo((directory.path() / "fifo").c_str(), 0600), 0);
  EXPECT_THAT([&] { File{directory.path() / "fifo"}; }, ThrowsMessage<Error>(HasSubstr("not a regular file")));
}

TEST(ReadText, StopsAtItsLimit) {
  const TemporaryDirectory directory;
  const auto path = directory.write("x", "0123456789");
  EXPECT_EQ(read_text(path, 10), "0123456789");
  EXPECT_THAT([&] { read_text(path, 9); }, ThrowsMessage<Error>(HasSubstr("at most 9 are read")));
}

TEST(WriteFileAtomically, ReplacesAFileAndLeavesNothingElse) {
  const TemporaryDirectory directory;
  const auto path = directory.write("x", "old");
  write_file_atomically(path, std::string_view("new content"));
  EXPECT_EQ(read_text(path, 100), "new content");
  EXPECT_EQ(count_files(directory.path()), 1U);
}

TEST(WriteFileAtomically, KeepsTheOldFileWhereItFails) {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory.path() / "x");
  directory.write("x/inside", "old");
  EXPECT_THROW(write_file_atomically(directory.path() / "x", std::string_view("new")),
               Error);  // a directory is in the way
  EXPECT_EQ(read_text(directory.path() / "x/inside", 100), "old");
  EXPECT_EQ(count_files(directory.path()), 1U);
  EXPECT_THAT([&] { write_file_atomically(directory.path() / "none/x", std::string_view("new")); },
              ThrowsMessage<Error>(HasSubstr("none/x: cannot be written: No such file")));
}

// A file size limit fails a write in the middle, as a full disk does.
TEST(WriteFileAtomically, KeepsTheOldFileWhereAWriteFailsHalfWay) {
  const TemporaryDirectory directory;
  const auto path = directory.write("x", "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THAT([&] { write_file_atomically(path, std::string(10'000, 'x')); },
              ThrowsMessage<Error>(HasSubstr("cannot be written")));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text(path, 100), "old");
  EXPECT_EQ(count_files(directory.path()), 1U);
}

TEST(Sha256OfFile, GivesThePublishedDigests) {
  const TemporaryDirectory directory;
  EXPECT_EQ(sha256_of_file(directory.write("a", "abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of_file(directory.write("b", "")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  // FIPS 180-2, appendix B.3: a million letters.
  EXPECT_EQ(sha256_of_file(directory.write("c", std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace shardlora
