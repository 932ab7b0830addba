// A disk whose reads are slow, break or end at a chosen byte, and which remembers what was read.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "base/disk.h"

namespace shardlora {

struct ReadFaults {
  double bytes_per_second = 0;  // at most, over all threads; 0: as fast as it goes
  std::uint64_t breaks_at = std::numeric_limits<std::uint64_t>::max();  // reads that need this byte of a file: EIO
  std::uint64_t ends_at = std::numeric_limits<std::uint64_t>::max();    // files are cut here
  std::size_t at_once = std::numeric_limits<std::size_t>::max();        // bytes that a call gives at most
};

class ReadingDisk : public Disk {
 public:
  struct Read {
    std::uint64_t offset;
    std::size_t bytes;
  };
  explicit ReadingDisk(const ReadFaults& faults = {}) : faults_(faults) {}

  ssize_t pread(int descriptor, void* to, std::size_t bytes, off_t offset) override {
    const auto at = static_cast<std::uint64_t>(offset);
    bytes = std::min(bytes, faults_.at_once);
    if (at < faults_.ends_at) bytes = std::min<std::uint64_t>(bytes, faults_.ends_at - at);
    if (at >= faults_.ends_at) bytes = 0;
    if (at <= faults_.breaks_at && faults_.breaks_at - at < bytes) {
      errno = EIO;
      return -1;
    }
    wait_for(bytes, at);
    return Disk::pread(descriptor, to, bytes, offset);
  }

  void set_bytes_per_second(double speed) {
    const std::lock_guard lock(mutex_);
    faults_.bytes_per_second = speed;
  }

  std::vector<Read> reads() const {
    const std::lock_guard lock(mutex_);
    return reads_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  // As long as the bytes take after those that are under way already.
  void wait_for(std::size_t bytes, std::uint64_t offset) {
    Clock::time_point end;
    {
      const std::lock_guard lock(mutex_);
      reads_.push_back({offset, bytes});
      if (faults_.bytes_per_second <= 0) return;
      const std::chrono::duration<double> takes(static_cast<double>(bytes) / faults_.bytes_per_second);
      end = free_ = std::max(free_, Clock::now()) + std::chrono::duration_cast<Clock::duration>(takes);
    }
    std::this_thread::sleep_until(end);
  }

  ReadFaults faults_;
  mutable std::mutex mutex_;
  Clock::time_point free_{};
  std::vector<Read> reads_;
};

}  // namespace shardlora
