// The system's calls by which files are read and written, in one place: base/file.h and its neighbours go through it,
// and a test can put a disk of its own there, which fails, tears, slows down or writes down what is asked of it.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace shardlora {

// Each call is the system's of its name: -1 and errno where it fails.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual int open(const char* path, int flags, unsigned mode);
  virtual int close(int descriptor);
  virtual ssize_t pread(int descriptor, void* to, std::size_t bytes, off_t offset);
  virtual ssize_t pwrite(int descriptor, const void* from, std::size_t bytes, off_t offset);
  virtual int ftruncate(int descriptor, off_t bytes);
  virtual int allocate(int descriptor,
                       off_t bytes);  // fallocate, from the beginning on; without one the room is looked up
  virtual int fsync(int descriptor);
  virtual int rename(const char* from, const char* to);
  virtual int unlink(const char* path);
};

Disk& disk();
// Whether files are the system's: no test's disk stands there.
bool is_system_disk();

// For tests: `other` is the disk while this lives. Not while other threads use files.
class DiskInstead {
 public:
  explicit DiskInstead(Disk& other);
  ~DiskInstead();
  DiskInstead(const DiskInstead&) = delete;
  DiskInstead& operator=(const DiskInstead&) = delete;
};

}  // namespace shardlora
