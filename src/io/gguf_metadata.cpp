#include <cstring>

#include "io/gguf.h"

namespace shardlora {

void write_gguf_metadata(const std::filesystem::path& to, const GgufFile& file) {
  constexpr std::size_t kCountOfTensors = 8;  // where it stands
  constexpr std::uint64_t kNone = 0;
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.metadata_end_));
  file.file_.read_at(0, bytes);
  std::memcpy(bytes.data() + kCountOfTensors, &kNone, sizeof kNone);
  write_file_atomically(to, std::span<const std::byte>(bytes));
}

}  // namespace shardlora
