#include "base/disk_rate.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <vector>

#include "base/error.h"

namespace shardlora {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kKiB = 1024, kRunBytes = 16 * kKiB * kKiB;
// By what is in flight.
constexpr std::array<ReadPattern, 6> kPatterns = {
    {{2, kKiB* kKiB}, {8, 256 * kKiB}, {4, kKiB* kKiB}, {8, kKiB* kKiB}, {32, 256 * kKiB}, {16, kKiB* kKiB}}};
constexpr std::chrono::milliseconds kEach{50};
constexpr double kNear = 0.9;  // of the best: less than that is noise

struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

DiskRate probe_disk(const std::filesystem::path& path) {
  const std::uint64_t runs = File(path).size() / kRunBytes;
  if (runs < kPatterns.size()) return {};
  const std::unique_ptr<std::byte, FreeMemory> memory(static_cast<std::byte*>(std::aligned_alloc(4 * kKiB, kRunBytes)));
  if (!memory) throw OutOfMemory("no 16 MiB of memory to read into");
  std::vector<DiskRate> rates;
  std::uint64_t run = 0;  // no run twice where the file is long enough: a disk has a cache of its own
  const Clock::time_point end = Clock::now() + kEach * kPatterns.size();
  for (const ReadPattern& pattern : kPatterns) {
    if (Clock::now() >= end) break;
    DirectReader reader(path, pattern);
    const Clock::time_point begin = Clock::now();
    double bytes = 0;
    do {
      reader.read(memory.get(), kRunBytes, run++ % runs * kRunBytes);
      bytes += kRunBytes;
    } while (Clock::now() < begin + kEach);
    rates.push_back({pattern, bytes / seconds_since(begin)});
  }
  double best = 0;
  for (const DiskRate& rate : rates) best = std::max(best, rate.bytes_per_second);
  return *std::find_if(rates.begin(), rates.end(),
                       [&](const DiskRate& rate) { return rate.bytes_per_second >= kNear * best; });
}

}  // namespace shardlora
