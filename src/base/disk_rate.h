// How fast the disk of a file reads, and in what blocks: found out by reading a little of it.
#pragma once

#include <filesystem>

#include "base/direct_reader.h"

namespace shardlora {

struct DiskRate {
  ReadPattern pattern;          // the least in flight that comes near the best of a few
  double bytes_per_second = 0;  // 0: the file is too small to tell, and the pattern is the default
};

// Takes some 0.3 s, or, on a slow disk, a run of 16 MiB. Where there is no O_DIRECT the page cache may answer.
DiskRate probe_disk(const std::filesystem::path& path);

}  // namespace shardlora
