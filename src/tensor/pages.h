// Buffers begin at pages, and what is cut or laid one behind the other in them mostly does too.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shardlora {

inline constexpr std::size_t kPage = 4096;  // bytes

// Elements of what trains that stay together on a rank and whose squares are summed together: shares are cut here, so
// the sum of the blocks' sums is the same for any number of ranks.
inline constexpr std::int64_t kElementBlock = 4096;
// Blocks of n elements.
constexpr std::int64_t element_blocks(std::int64_t n) { return (n + kElementBlock - 1) / kElementBlock; }

// The bytes of the pages that `bytes` take.
constexpr std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace shardlora
