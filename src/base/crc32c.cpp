#include "base/crc32c.h"

#include <isa-l/crc.h>

#include "base/error.h"

namespace shardlora {

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  CHECK(bytes.size() <= 0x7FFFFFFF, "a checksum of {} bytes", bytes.size());
  // It only reads, whatever its type says. Start and end are complemented in RFC 3720.
  auto* const data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));
  return ~crc32_iscsi(data, static_cast<int>(bytes.size()), 0xFFFFFFFF);
}

}  // namespace shardlora
