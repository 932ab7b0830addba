// A file without a name, for bytes that this process alone writes and reads again: it is gone when the process is,
// however that ends. Whole pages go past the page cache (O_DIRECT) where the file system takes that, so that they push
// nothing out of it. All calls of the system go through base/disk.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace shardlora {

class ScratchFile {
 public:
  // In `directory`, which is made where it is not there. All `bytes` are claimed of the disk at once; OutOfMemory where
  // it has no room, or no file can be made there: what is to rest here has to rest elsewhere.
  ScratchFile(const std::filesystem::path& directory, std::uint64_t bytes);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  bool direct() const { return direct_ >= 0; }
  // From any thread. Offset, length and address are multiples of 4 KiB. An Error names file and offset.
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  void open_direct();

  std::filesystem::path path_;  // that it had
  std::uint64_t bytes_;
  int descriptor_ = -1, direct_ = -1;
};

}  // namespace shardlora
