#include "backend/arena.h"

#include <algorithm>

#include "base/error.h"
#include "tensor/pages.h"

namespace shardlora {

namespace {

std::string mebibytes(std::size_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1 << 20)); }

}  // namespace

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

void Arena::charge(std::size_t bytes, Purpose purpose) {
  const std::lock_guard lock(mutex_);
  if (use_.limit != 0 && bytes > use_.limit - use_.total_now) {
    const bool device = tier_ == Tier::kDevice;
    throw OutOfMemory(fmt::format(
        "out of {} memory: need {} MiB more for {}, {} of {} MiB free; in use: {}; raise memory.{}, or lower "
        "micro_batch_size or "
        "sequence_len",
        device ? "device" : "host", mebibytes(bytes), name_of(purpose), mebibytes(use_.limit - use_.total_now),
        mebibytes(use_.limit), by_purpose(use_), device ? "device_limit" : "host_limit"));
  }
  const auto p = static_cast<std::size_t>(purpose);
  use_.now[p] += bytes;
  use_.total_now += bytes;
}

// Null when there is no more.
std::byte* Arena::take(std::size_t bytes) {
  if (!counting_) return source_->take(bytes);
  const std::lock_guard lock(mutex_);
  if (bytes > countable_) return nullptr;
  std::byte* const data = addresses_.take(bytes);
  if (data == nullptr) return nullptr;
  countable_ -= bytes;
  counted_.insert(data);
  return data;
}

void Arena::give_back(std::byte* data, std::size_t bytes) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (counted_.erase(data) == 1) {
      countable_ += bytes;
      return addresses_.give_back(data, bytes);
    }
  }
  source_->give_back(data, bytes);
}

void Arena::count_only(bool on) {
  const std::lock_guard lock(mutex_);
  CHECK(counted_.empty(), "{} buffers were given out while counting, and live on", counted_.size());
  counting_ = on;
  countable_ = source_->available();
}

Buffer Arena::allocate(std::size_t bytes, Purpose purpose) {
  if (bytes == 0) return {};
  const std::size_t pages = whole_pages(bytes);
  charge(pages, purpose);
  std::byte* const data = take(pages);
  if (data == nullptr) {
    const std::lock_guard lock(mutex_);
    use_.now[static_cast<std::size_t>(purpose)] -= pages;
    use_.total_now -= pages;
    throw OutOfMemory(fmt::format("{}: need {} MiB for {}; in use: {}; {}", source_->exhausted(), mebibytes(pages),
                                  name_of(purpose), by_purpose(use_), source_->advice()));
  }
  const std::lock_guard lock(mutex_);
  const auto p = static_cast<std::size_t>(purpose);
  use_.peak[p] = std::max(use_.peak[p], use_.now[p]);
  use_.total_peak = std::max(use_.total_peak, use_.total_now);
  ++use_.allocations;
  return {*this, data, bytes, tier_, purpose};
}

void Arena::release(std::byte* data, std::size_t bytes, Tier, Purpose purpose) noexcept {
  const std::size_t pages = whole_pages(bytes);
  give_back(data, pages);
  const std::lock_guard lock(mutex_);
  use_.now[static_cast<std::size_t>(purpose)] -= pages;
  use_.total_now -= pages;
}

void Arena::reset_peaks() {
  const std::lock_guard lock(mutex_);
  use_.peak = use_.now;
  use_.total_peak = use_.total_now;
}

MemoryUse Arena::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

}  // namespace shardlora
