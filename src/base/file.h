// Files on disk: read by pread with full-read loops, written so that a reader sees the old content or the new one and
// never half of it. Only regular files are opened; every error names the path and the system's reason. All calls of the
// system go through base/disk.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct sha256_ctx;  // nettle's

namespace shardlora {

// A file open for reading. Reads carry their own offset, so any number of threads may read at once.
class File {
 public:
  explicit File(std::filesystem::path path);
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // when it was opened
  int descriptor() const { return descriptor_; }
  // Fills all of `out` from byte `offset` on; a file that ends earlier is an Error.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;
  // An Error where the file was written to or cut since it was opened: bytes that were checked once stay what they
  // were. One that is renamed or removed meanwhile is read on.
  void check_unchanged() const;

 private:
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  std::int64_t changed_ = 0;  // nanoseconds since 1970, when it was opened
  int descriptor_ = -1;
};

// The system did not read the file there: an Error with its reason.
[[noreturn]] void fail_to_read(const std::filesystem::path& path, std::uint64_t offset, int error);

// A file that is written in place, by any number of threads and processes at once. What was written is there for sure
// when sync has returned.
class WritableFile {
 public:
  // The file as it is, or a new one, with `bytes` bytes from now on; those that it did not have are 0.
  WritableFile(std::filesystem::path path, std::uint64_t bytes);
  WritableFile(const WritableFile&) = delete;
  WritableFile& operator=(const WritableFile&) = delete;
  ~WritableFile();

  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  void sync();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// A file that is written from its beginning on and takes its place at the end: a temporary file beside `path` until
// `finish`, which fsyncs it, renames it over `path` and fsyncs the directory. Without that, or after an Error, `path`
// holds what it held before and the temporary file is gone.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);  // behind what was written before
  void finish();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  std::uint64_t written_ = 0;
};

// Whether an AtomicFile of a process that was killed has left it.
bool is_left_over(const std::filesystem::path& path);

// Where it is there.
void remove_file(const std::filesystem::path& path);

// The whole file; one larger than `max_bytes` is an Error.
std::string read_text(const std::filesystem::path& path, std::uint64_t max_bytes);

// An AtomicFile as a whole.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
// The pieces one after the other.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces);

// SHA-256 of what was added so far.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  std::string hex();  // 64 lower-case hexadecimal digits; call once, at the end

 private:
  std::unique_ptr<sha256_ctx> context_;
};

std::string sha256_of_file(const std::filesystem::path& path);
std::string sha256_of(std::string_view text);

}  // namespace shardlora
