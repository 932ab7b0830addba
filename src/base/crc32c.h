// CRC-32C (Castagnoli; RFC 3720 appendix B.4): finds a flipped bit in a chunk of a file. By isa-l.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace shardlora {

std::uint32_t crc32c(std::span<const std::byte> bytes);

}  // namespace shardlora
