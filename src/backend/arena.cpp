#include "backend/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace shardlora {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// A mapping at a multiple of 2 MiB, followed by one page without access. Null when the system has no more.
std::byte* map(std::size_t bytes) {
  const std::size_t reserved = bytes + Arena::kPageBytes + kHugePage;
  void* base = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(base);
  const std::size_t head = (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  std::byte* const data = begin + head;
  if (head > 0) munmap(begin, head);
  munmap(data + bytes + Arena::kPageBytes, kHugePage - head);  // never empty: head < 2 MiB
  if (mprotect(data, bytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(data, bytes + Arena::kPageBytes);
    return nullptr;
  }
  madvise(data, bytes, MADV_HUGEPAGE);  // advice: a kernel without huge pages says no, and that is fine
  return data;
}

std::string mebibytes(std::size_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20)); }

std::string by_purpose(const MemoryUse& use) {
  std::string text;
  for (std::size_t p = 0; p < use.now.size(); ++p) {
    if (use.peak[p] == 0) continue;
    text +=
        fmt::format("{}{} {} MiB", text.empty() ? "" : ", ", name_of(static_cast<Purpose>(p)), mebibytes(use.now[p]));
    if (use.peak[p] > use.now[p]) text += fmt::format(" (peak {})", mebibytes(use.peak[p]));
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace

void Arena::charge(std::size_t bytes, Purpose purpose) {
  const std::lock_guard lock(mutex_);
  if (use_.limit != 0 && bytes > use_.limit - use_.total_now) {
    const bool device = tier_ == Tier::kDevice;
    fail(
        "out of {} memory: need {} MiB more for {}, {} of {} MiB free; in use: {}; raise memory.{}, or lower "
        "micro_batch_size or "
        "sequence_len",
        device ? "device" : "host", mebibytes(bytes), name_of(purpose), mebibytes(use_.limit - use_.total_now),
        mebibytes(use_.limit), by_purpose(use_), device ? "device_limit" : "host_limit");
  }
  const auto p = static_cast<std::size_t>(purpose);
  use_.now[p] += bytes;
  use_.total_now += bytes;
  use_.peak[p] = std::max(use_.peak[p], use_.now[p]);
  use_.total_peak = std::max(use_.total_peak, use_.total_now);
  ++use_.allocations;
}

Buffer Arena::allocate(std::size_t bytes, Purpose purpose) {
  if (bytes == 0) return {};
  const std::size_t pages = whole_pages(bytes);
  charge(pages, purpose);
  auto* const data = pages >= kHugePage ? map(pages) : static_cast<std::byte*>(std::aligned_alloc(kPageBytes, pages));
  if (data == nullptr) {
    const std::lock_guard lock(mutex_);
    use_.now[static_cast<std::size_t>(purpose)] -= pages;
    use_.total_now -= pages;
    fail(
        "this machine has no more memory: need {} MiB for {}; in use: {}; lower micro_batch_size or sequence_len, or "
        "end other programs",
        mebibytes(pages), name_of(purpose), by_purpose(use_));
  }
  if (poison_) std::memset(data, 0xff, pages);
  return {*this, data, bytes, tier_, purpose};
}

void Arena::release(std::byte* data, std::size_t bytes, Tier, Purpose purpose) noexcept {
  const std::size_t pages = whole_pages(bytes);
  if (pages >= kHugePage) {
    munmap(data, pages + kPageBytes);
  } else {
    if (poison_) std::memset(data, 0xff, pages);
    std::free(data);
  }
  const std::lock_guard lock(mutex_);
  use_.now[static_cast<std::size_t>(purpose)] -= pages;
  use_.total_now -= pages;
}

MemoryUse Arena::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

}  // namespace shardlora
