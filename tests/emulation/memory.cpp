#include "emulation/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "emulation/settings.h"

namespace emulation {

namespace {

constexpr std::size_t kPage = 4096, kAlignment = 256, kReserve = std::size_t{64} << 30;
constexpr std::size_t kCharged = std::size_t{2} << 20;  // what a driver maps at a time
constexpr std::size_t kFilled = std::size_t{64} << 20;  // what is not written first reads as NaN, up to this size

// One device: kReserve bytes of addresses that are never accessible, and behind them the same range as views.
struct DeviceMemory {
  char* addresses = nullptr;
  std::map<std::size_t, std::size_t> allocations;  // offset of the first page, bytes asked for
  std::size_t used = 0, cursor = kPage;

  static std::size_t charged(std::size_t bytes) { return (bytes + kCharged - 1) / kCharged * kCharged; }
  static std::size_t pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
  // The end lies as near to the next page, which cannot be touched, as the alignment allows.
  static std::size_t start(std::size_t first_page, std::size_t bytes) {
    return first_page + pages(bytes) - (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  // An offset with room for `bytes` and a page on either side; addresses come back as late as possible.
  bool place(std::size_t bytes, std::size_t& offset) {
    for (int turn = 0; turn < 2; ++turn) {
      for (auto next = allocations.lower_bound(cursor);; ++next) {
        const std::size_t end = next == allocations.end() ? kReserve : next->first;
        if (cursor + bytes + kPage <= end) {
          offset = cursor;
          cursor += bytes + kPage;
          return true;
        }
        if (next == allocations.end()) break;
        cursor = next->first + pages(next->second) + kPage;
      }
      cursor = kPage;
    }
    return false;
  }
};

struct Memory {
  std::mutex mutex;
  std::vector<DeviceMemory> devices;
  std::map<std::uintptr_t, std::size_t> pinned;
};

Memory& memory() {
  static auto* all = [] {
    auto* made = new Memory;  // streams may still run when the program ends
    made->devices.resize(static_cast<std::size_t>(settings().devices));
    for (auto& device : made->devices) {
      void* range = mmap(nullptr, 2 * kReserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (range == MAP_FAILED) std::abort();
      device.addresses = static_cast<char*>(range);
    }
    return made;
  }();
  return *all;
}

}  // namespace

void* allocate_device(int device, std::size_t bytes) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  DeviceMemory& m = all.devices[static_cast<std::size_t>(device)];
  const std::size_t whole = DeviceMemory::pages(bytes);
  std::size_t offset = 0;
  if (m.used + DeviceMemory::charged(bytes) > settings().memory || !m.place(whole, offset)) return nullptr;
  char* view = m.addresses + kReserve + offset;
  if (mprotect(view, whole, PROT_READ | PROT_WRITE) != 0) return nullptr;
  std::memset(view, 0xFF, whole <= kFilled ? whole : 0);
  m.allocations[offset] = bytes;
  m.used += DeviceMemory::charged(bytes);
  return m.addresses + DeviceMemory::start(offset, bytes);
}

bool free_device(void* data) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  for (auto& m : all.devices) {
    if (data < m.addresses || data >= m.addresses + kReserve) continue;
    const auto at = static_cast<std::size_t>(static_cast<char*>(data) - m.addresses);
    auto found = m.allocations.upper_bound(at);
    if (found == m.allocations.begin()) return false;
    --found;
    const auto [offset, bytes] = *found;
    if (DeviceMemory::start(offset, bytes) != at) return false;
    char* view = m.addresses + kReserve + offset;
    const std::size_t whole = DeviceMemory::pages(bytes);
    madvise(view, whole, MADV_DONTNEED);
    mprotect(view, whole, PROT_NONE);
    m.used -= DeviceMemory::charged(bytes);
    m.allocations.erase(found);
    return true;
  }
  return false;
}

std::size_t free_bytes(int device) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  return settings().memory - all.devices[static_cast<std::size_t>(device)].used;
}

void* allocate_pinned(std::size_t bytes) {
  const std::size_t whole = DeviceMemory::pages(bytes == 0 ? 1 : bytes);
  void* data = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  const std::lock_guard lock(memory().mutex);
  memory().pinned[reinterpret_cast<std::uintptr_t>(data)] = whole;
  return data;
}

bool free_pinned(void* data) {
  const std::lock_guard lock(memory().mutex);
  const auto found = memory().pinned.find(reinterpret_cast<std::uintptr_t>(data));
  if (found == memory().pinned.end()) return false;
  munmap(data, found->second);
  memory().pinned.erase(found);
  return true;
}

bool is_pinned(const void* data) {
  const std::lock_guard lock(memory().mutex);
  const auto at = reinterpret_cast<std::uintptr_t>(data);
  const auto behind = memory().pinned.upper_bound(at);
  if (behind == memory().pinned.begin()) return false;
  const auto& [first, bytes] = *std::prev(behind);
  return at < first + bytes;
}

int owner_of(const void* address) {
  const auto& devices = memory().devices;
  for (std::size_t i = 0; i < devices.size(); ++i)
    if (address >= devices[i].addresses && address < devices[i].addresses + kReserve) return static_cast<int>(i);
  return -1;
}

void* view_of(const void* address) {
  auto* bytes = static_cast<char*>(const_cast<void*>(address));
  return owner_of(address) < 0 ? bytes : bytes + kReserve;
}

bool range_is_allocated(const void* address, std::size_t bytes) {
  const int device = owner_of(address);
  if (device < 0) return true;
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const DeviceMemory& m = all.devices[static_cast<std::size_t>(device)];
  const auto at = static_cast<std::size_t>(static_cast<const char*>(address) - m.addresses);
  auto found = m.allocations.upper_bound(at);
  if (found == m.allocations.begin()) return false;
  const auto [offset, size] = *--found;
  const std::size_t start = DeviceMemory::start(offset, size);
  return at >= start && at + bytes <= start + size;
}

Description describe(const void* address) {
  Description d;
  const auto write = [&](auto... values) { *fmt::format_to_n(d.text, sizeof d.text - 1, values...).out = 0; };
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  for (std::size_t i = 0; i < all.devices.size(); ++i) {
    const DeviceMemory& m = all.devices[i];
    if (address < m.addresses || address >= m.addresses + 2 * kReserve) continue;
    const bool view = address >= m.addresses + kReserve;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(address) - m.addresses) - (view ? kReserve : 0);
    auto found = m.allocations.upper_bound(at);
    if (found == m.allocations.begin()) {
      write(FMT_STRING("no allocation of device {}"), i);
      return d;
    }
    const auto [offset, bytes] = *--found;
    const std::size_t start = DeviceMemory::start(offset, bytes);
    if (at >= start + bytes)
      write(FMT_STRING("{} bytes behind the end of an allocation of {} bytes on device {}, or in freed memory"),
            at - start - bytes, bytes, i);
    else
      write(FMT_STRING("byte {} of an allocation of {} bytes on device {}"), at - start, bytes, i);
  }
  return d;
}

}  // namespace emulation
