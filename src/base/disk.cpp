#include "base/disk.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>

namespace shardlora {
namespace {

Disk* instead = nullptr;

}  // namespace

int Disk::open(const char* path, int flags, unsigned mode) { return ::open(path, flags, mode); }
int Disk::close(int descriptor) { return ::close(descriptor); }
ssize_t Disk::pread(int descriptor, void* to, std::size_t bytes, off_t offset) {
  return ::pread(descriptor, to, bytes, offset);
}
ssize_t Disk::pwrite(int descriptor, const void* from, std::size_t bytes, off_t offset) {
  return ::pwrite(descriptor, from, bytes, offset);
}
int Disk::ftruncate(int descriptor, off_t bytes) { return ::ftruncate(descriptor, bytes); }
int Disk::allocate(int descriptor, off_t bytes) {
  if (bytes == 0) return 0;
  int result = 0;
  do result = ::fallocate(descriptor, 0, 0, bytes);
  while (result != 0 && errno == EINTR);
  if (result == 0 || errno != EOPNOTSUPP) return result;
  struct statvfs space{};  // posix_fallocate would write into every block here
  if (::fstatvfs(descriptor, &space) == 0 &&
      static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize < static_cast<std::uint64_t>(bytes)) {
    errno = ENOSPC;
    return -1;
  }
  return ::ftruncate(descriptor, bytes);
}
int Disk::fsync(int descriptor) { return ::fsync(descriptor); }
int Disk::rename(const char* from, const char* to) { return ::rename(from, to); }
int Disk::unlink(const char* path) { return ::unlink(path); }

Disk& disk() {
  static Disk system;
  return instead != nullptr ? *instead : system;
}

bool is_system_disk() { return instead == nullptr; }

DiskInstead::DiskInstead(Disk& other) { instead = &other; }
DiskInstead::~DiskInstead() { instead = nullptr; }

}  // namespace shardlora
