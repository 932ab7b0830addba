#include "base/scratch_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <utility>

#include "base/disk.h"
#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::size_t kAlignment = 4096;  // what O_DIRECT asks for, or more

// Ranks that are threads of one process make their files in one directory.
int open_new(const std::filesystem::path& directory, std::filesystem::path& path) {
  for (int attempt = 0;; ++attempt) {
    path = directory / fmt::format(".scratch.{}.{}.tmp", ::getpid(), attempt);
    const int descriptor = disk().open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor >= 0 || errno != EEXIST || attempt == 1000) return descriptor;
  }
}

[[noreturn]] void fail_at(const char* what, const std::filesystem::path& path, std::uint64_t offset, int error) {
  fail("{}: cannot be {} at offset {}: {}; check the disk (dmesg tells more), or give output_dir another one",
       path.string(), what, offset, std::strerror(error));
}

// Bytes that calls of `transfer(descriptor, done, part)` moved: past the page cache, by the first descriptor, as far as
// that goes; what O_DIRECT left, at an end that is no page's, by the second. errno tells where it is less than wanted.
template <typename Transfer>
std::size_t transferred(std::initializer_list<int> descriptors, std::size_t bytes, Transfer transfer) {
  std::size_t done = 0;
  for (const int descriptor : descriptors) {
    if (descriptor < 0) continue;
    while (done < bytes) {
      errno = 0;
      const ssize_t n = transfer(descriptor, done, std::min(bytes - done, std::size_t{1} << 30));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    if (done == bytes || (errno != 0 && errno != EINVAL)) break;
  }
  return done;
}

}  // namespace

ScratchFile::ScratchFile(const std::filesystem::path& directory, std::uint64_t bytes) : bytes_(bytes) {
  std::error_code ignored;  // opening tells
  std::filesystem::create_directories(directory, ignored);
  descriptor_ = open_new(directory, path_);
  int error = descriptor_ < 0 ? errno : 0;
  if (error == 0 && disk().allocate(descriptor_, static_cast<off_t>(bytes)) != 0) error = errno;
  if (error == 0) open_direct();
  if (descriptor_ >= 0) disk().unlink(path_.c_str());
  if (error == 0) return;
  if (descriptor_ >= 0) disk().close(std::exchange(descriptor_, -1));
  throw OutOfMemory(fmt::format("{}: no room for {:.1f} MiB of scratch: {}; free some, or give output_dir another disk",
                                directory.string(), static_cast<double>(bytes) / (1 << 20), std::strerror(error)));
}

ScratchFile::~ScratchFile() {
  for (const int descriptor : {direct_, descriptor_})
    if (descriptor >= 0) disk().close(descriptor);
}

// Some file systems refuse O_DIRECT when a file is opened, some when it is written.
void ScratchFile::open_direct() {
  if (bytes_ < kAlignment) return;
  alignas(kAlignment) const std::array<std::byte, kAlignment> page{};
  direct_ = disk().open(path_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_DIRECT, 0);
  if (direct_ >= 0 && disk().pwrite(direct_, page.data(), page.size(), 0) < 0) disk().close(std::exchange(direct_, -1));
}

void ScratchFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  CHECK(offset + bytes.size() <= bytes_, "{} bytes at {} of {}", bytes.size(), offset, bytes_);
  const std::size_t done =
      transferred({direct_, descriptor_}, bytes.size(), [&](int descriptor, std::size_t at, std::size_t part) {
        return disk().pwrite(descriptor, bytes.data() + at, part, static_cast<off_t>(offset + at));
      });
  if (done < bytes.size()) fail_at("written", path_, offset + done, errno);
}

void ScratchFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  CHECK(offset + out.size() <= bytes_, "{} bytes at {} of {}", out.size(), offset, bytes_);
  const std::size_t done =
      transferred({direct_, descriptor_}, out.size(), [&](int descriptor, std::size_t at, std::size_t part) {
        return disk().pread(descriptor, out.data() + at, part, static_cast<off_t>(offset + at));
      });
  if (done < out.size()) fail_at("read", path_, offset + done, errno == 0 ? EIO : errno);
}

}  // namespace shardlora
