// Buffers begin at pages, and what is cut or laid one behind the other in them mostly does too.
#pragma once

#include <cstddef>

namespace shardlora {

inline constexpr std::size_t kPage = 4096;  // bytes

// The bytes of the pages that `bytes` take.
constexpr std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace shardlora
