#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "backend/memory_source.h"

#include "tensor/pages.h"

namespace shardlora {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// A mapping at a multiple of 2 MiB, followed by one page without access. Null when the system has no more.
std::byte* map(std::size_t bytes) {
  const std::size_t reserved = bytes + kPage + kHugePage;
  void* base = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(base);
  const std::size_t head = (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  std::byte* const data = begin + head;
  if (head > 0) munmap(begin, head);
  munmap(data + bytes + kPage, kHugePage - head);  // never empty: head < 2 MiB
  if (mprotect(data, bytes, PROT_READ | PROT_WRITE) != 0) {
    munmap(data, bytes + kPage);
    return nullptr;
  }
  madvise(data, bytes, MADV_HUGEPAGE);  // advice: a kernel without huge pages says no, and that is fine
  return data;
}

}  // namespace

std::byte* HostMemory::take(std::size_t bytes) {
  auto* const data = bytes >= kHugePage ? map(bytes) : static_cast<std::byte*>(std::aligned_alloc(kPage, bytes));
  if (poison_ && data != nullptr) std::memset(data, 0xff, bytes);
  return data;
}

void HostMemory::give_back(std::byte* data, std::size_t bytes) noexcept {
  if (bytes >= kHugePage) {
    munmap(data, bytes + kPage);
  } else {
    if (poison_) std::memset(data, 0xff, bytes);
    std::free(data);
  }
}

std::byte* ReservedAddresses::take(std::size_t bytes) {
  void* const data = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

void ReservedAddresses::give_back(std::byte* data, std::size_t bytes) noexcept { munmap(data, bytes); }

}  // namespace shardlora
