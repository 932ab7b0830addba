// Reads runs of a file into memory as fast as the disk goes: a run is cut into blocks that are kept in flight through
// io_uring and go past the page cache (O_DIRECT), so that a base larger than memory pushes nothing out of it. Blocks
// are whole pages of 4 KiB in the file and in memory; a run's unaligned ends, and runs whose address and offset lie
// differently in their pages, go through plain pread. Where the system takes no O_DIRECT, or no io_uring (containers
// forbid it), the same bytes come through the page cache, or by pread; the log says so once. A test's disk
// (base/disk.h) sees preads only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/file.h"

struct io_uring;

namespace shardlora {

// `depth` blocks of `block` bytes, a multiple of 4 KiB, are in flight at a time.
struct ReadPattern {
  unsigned depth = 8;
  std::size_t block = std::size_t{1} << 20;
};

// bytes of the file from `offset` on, and where they go.
struct ReadRun {
  std::byte* to;
  std::size_t bytes;
  std::uint64_t offset;
};

enum class ReadRoute : std::uint8_t { kRing, kRingThroughCache, kPlain };  // the fastest that may be taken

class DirectReader {
 public:
  explicit DirectReader(std::filesystem::path path, const ReadPattern& pattern = {},
                        ReadRoute route = ReadRoute::kRing);
  ~DirectReader();
  DirectReader(const DirectReader&) = delete;
  DirectReader& operator=(const DirectReader&) = delete;

  const File& file() const { return file_; }
  ReadRoute route() const { return route_; }  // the one that is taken
  // Returns when all runs are in memory. From any thread; calls of several wait for each other. Where the disk fails or
  // the file became shorter, an Error names file and offset, and nothing writes to memory any more.
  void read(std::span<const ReadRun> runs);
  void read(std::byte* to, std::size_t bytes, std::uint64_t offset);

 private:
  struct CloseRing {
    void operator()(io_uring* ring) const;
  };
  void open_ring();
  void open_direct();
  void cut(const ReadRun& run);
  std::vector<ReadRun> read_blocks();

  File file_;
  ReadPattern pattern_;
  ReadRoute route_;
  int direct_ = -1;  // opened with O_DIRECT
  std::unique_ptr<io_uring, CloseRing> ring_;
  std::mutex one_at_a_time_;
  std::vector<ReadRun> blocks_;  // of the runs that are read
};

}  // namespace shardlora
