// A disk that runs full or loses its power at a chosen call, and remembers what was asked of it.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include "base/disk.h"

namespace shardlora {

class FaultyDisk : public Disk {
 public:
  enum class Fault {
    kNone,
    kFull,   // that call fails with ENOSPC, and every later write
    kPower,  // nothing after it changes a file, and what no fsync has saved is gone
  };
  FaultyDisk() = default;
  FaultyDisk(Fault fault, int at) : fault_(fault), at_(at) {}

  int changes() const { return changes_; }  // calls that change something
  std::size_t written(const std::string& file) const {
    const auto found = written_.find(file);
    return found == written_.end() ? 0 : found->second;
  }

  int open(const char* path, int flags, unsigned mode) override {
    if ((flags & O_CREAT) != 0 && broken()) return -1;
    const int descriptor = Disk::open(path, flags, mode);
    if (descriptor >= 0) paths_[descriptor] = path;
    return descriptor;
  }
  ssize_t pwrite(int descriptor, const void* from, std::size_t bytes, off_t offset) override {
    if (broken()) {
      if (fault_ == Fault::kFull && bytes > 1 && calls_after_ == 1)  // a full disk takes what still fits
        return Disk::pwrite(descriptor, from, bytes / 2, offset);
      return -1;
    }
    Change change{paths_[descriptor], size_of(descriptor), offset, std::string(bytes, '\0')};
    const ssize_t held = ::pread(descriptor_for_reading(change.path), change.before.data(), bytes, offset);
    change.before.resize(static_cast<std::size_t>(std::max<ssize_t>(held, 0)));
    unsynced_.push_back(change);
    written_[change.path] += bytes;
    return Disk::pwrite(descriptor, from, bytes, offset);
  }
  int ftruncate(int descriptor, off_t bytes) override { return broken() ? -1 : Disk::ftruncate(descriptor, bytes); }
  int allocate(int descriptor, off_t bytes) override { return broken() ? -1 : Disk::allocate(descriptor, bytes); }
  int fsync(int descriptor) override {
    if (broken()) return -1;
    std::erase_if(unsynced_, [&](const Change& change) { return change.path == paths_[descriptor]; });
    return Disk::fsync(descriptor);
  }
  int rename(const char* from, const char* to) override { return broken() ? -1 : Disk::rename(from, to); }
  int unlink(const char* path) override { return broken() ? -1 : Disk::unlink(path); }

 private:
  struct Change {
    std::string path;
    off_t size, offset;
    std::string before;
  };
  static off_t size_of(int descriptor) {
    struct stat status{};
    return ::fstat(descriptor, &status) == 0 ? status.st_size : 0;
  }
  int descriptor_for_reading(const std::string& path) {
    int& descriptor = readers_.try_emplace(path, -1).first->second;
    if (descriptor >= 0) ::close(descriptor);
    return descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  bool broken() {
    if (fault_ == Fault::kNone || changes_ < at_) {
      ++changes_;
      return false;
    }
    if (calls_after_++ == 0 && fault_ == Fault::kPower) lose_unsynced();
    errno = fault_ == Fault::kFull ? ENOSPC : EIO;
    return true;
  }
  void lose_unsynced() {
    for (auto change = unsynced_.rbegin(); change != unsynced_.rend(); ++change) {
      const int descriptor = ::open(change->path.c_str(), O_WRONLY | O_CLOEXEC);
      if (descriptor < 0) continue;  // it was renamed or removed
      [[maybe_unused]] const ssize_t put =
          ::pwrite(descriptor, change->before.data(), change->before.size(), change->offset);
      [[maybe_unused]] const int cut = ::ftruncate(descriptor, change->size);
      ::close(descriptor);
    }
  }

  Fault fault_ = Fault::kNone;
  int at_ = 0, changes_ = 0, calls_after_ = 0;
  std::map<int, std::string> paths_;
  std::map<std::string, int> readers_;
  std::vector<Change> unsynced_;
  std::map<std::string, std::size_t> written_;
};

}  // namespace shardlora
