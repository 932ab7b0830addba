#include "base/file.h"

#include <fcntl.h>
#include <nettle/sha2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/disk.h"
#include "base/error.h"

namespace shardlora {
namespace {

std::string reason(int error) { return std::strerror(error); }

void write_all(const std::filesystem::path& path, int descriptor, std::span<const std::byte> bytes,
               std::uint64_t offset) {
  while (!bytes.empty()) {
    const std::size_t part = std::min(bytes.size(), std::size_t{1} << 30);
    const ssize_t n = disk().pwrite(descriptor, bytes.data(), part, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("{}: cannot be written: {}", path.string(), reason(errno));
    offset += static_cast<std::uint64_t>(n);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

std::int64_t nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

void sync_directory_of(const std::filesystem::path& path) {
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
  const int descriptor = disk().open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  const int error = descriptor < 0 || disk().fsync(descriptor) != 0 ? errno : 0;
  if (descriptor >= 0) disk().close(descriptor);
  // EINVAL: a file system that has no such operation (some network mounts).
  if (error != 0 && error != EINVAL) fail("{}: cannot be synced: {}", directory.string(), reason(error));
}

}  // namespace

File::File(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a FIFO would otherwise wait for its writer.
  descriptor_ = disk().open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
  if (descriptor_ < 0) fail("{}: cannot be opened: {}", path_.string(), reason(errno));
  struct stat status{};
  const bool known = ::fstat(descriptor_, &status) == 0;
  if (!known || !S_ISREG(status.st_mode)) {
    disk().close(std::exchange(descriptor_, -1));
    fail("{}: not a regular file", path_.string());
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  changed_ = nanoseconds(status.st_mtim);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      size_(other.size_),
      changed_(other.changed_),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(size_, other.size_);
  std::swap(changed_, other.changed_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) disk().close(descriptor_);
}

void File::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset)
    fail("{}: has {} bytes, {} at offset {} were wanted; the file is cut short", path_.string(), size_, out.size(),
         offset);
  while (!out.empty()) {
    const ssize_t n =
        disk().pread(descriptor_, out.data(), std::min(out.size(), std::size_t{1} << 30), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_to_read(path_, offset, errno);
    if (n == 0)
      fail("{}: became shorter while it was read: it had {} bytes and ends at {} now; put it back as it was",
           path_.string(), size_, offset);
    offset += static_cast<std::uint64_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

void File::check_unchanged() const {
  struct stat status{};
  if (::fstat(descriptor_, &status) != 0) fail_to_read(path_, 0, errno);
  if (static_cast<std::uint64_t>(status.st_size) != size_ || nanoseconds(status.st_mtim) != changed_)
    fail(
        "{}: was changed while it was in use: {} bytes when it was opened, {} now; put it back as it was, and start "
        "again",
        path_.string(), size_, status.st_size);
}

void fail_to_read(const std::filesystem::path& path, std::uint64_t offset, int error) {
  fail("{}: cannot be read at offset {}: {}; check the disk (dmesg tells more), or copy the file to another one",
       path.string(), offset, reason(error));
}

WritableFile::WritableFile(std::filesystem::path path, std::uint64_t bytes) : path_(std::move(path)) {
  descriptor_ = disk().open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    fail("{}: cannot be written: {}; check that the directory exists, is writable and has room", path_.string(),
         reason(errno));
  if (disk().ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) {
    const int error = errno;
    disk().close(std::exchange(descriptor_, -1));
    fail("{}: cannot be written: {}", path_.string(), reason(error));
  }
}

WritableFile::~WritableFile() {
  if (descriptor_ >= 0) disk().close(descriptor_);
}

void WritableFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  write_all(path_, descriptor_, bytes, offset);
}

void WritableFile::sync() {
  if (disk().fsync(descriptor_) != 0) fail("{}: cannot be written: {}", path_.string(), reason(errno));
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = path_;
    temporary_.replace_filename(fmt::format(".{}.{}.{}.tmp", path_.filename().string(), ::getpid(), attempt));
    descriptor_ = disk().open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && (errno != EEXIST || attempt == 1000))
      fail("{}: cannot be written: {}; check that the directory exists, is writable and has room", path_.string(),
           reason(errno));
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) disk().close(descriptor_);
  if (!temporary_.empty()) disk().unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  write_all(temporary_, descriptor_, bytes, written_);
  written_ += bytes.size();
}

void AtomicFile::finish() {
  // Some file systems report a full disk only here.
  if (disk().fsync(descriptor_) != 0) fail("{}: cannot be written: {}", temporary_.string(), reason(errno));
  if (disk().close(std::exchange(descriptor_, -1)) != 0)
    fail("{}: cannot be written: {}", temporary_.string(), reason(errno));
  if (disk().rename(temporary_.c_str(), path_.c_str()) != 0)
    fail("{}: cannot be replaced: {}", path_.string(), reason(errno));
  temporary_.clear();
  sync_directory_of(path_);
}

bool is_left_over(const std::filesystem::path& path) {
  return path.filename().string().starts_with('.') && path.extension() == ".tmp";
}

void remove_file(const std::filesystem::path& path) {
  if (disk().unlink(path.c_str()) != 0 && errno != ENOENT)
    fail("{}: cannot be removed: {}", path.string(), reason(errno));
}

std::string read_text(const std::filesystem::path& path, std::uint64_t max_bytes) {
  const File file(path);
  if (file.size() > max_bytes) fail("{}: has {} bytes, at most {} are read", path.string(), file.size(), max_bytes);
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::span<const std::byte>> pieces) {
  AtomicFile file(path);
  for (const auto& piece : pieces) file.write(piece);
  file.finish();
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  write_file_atomically(path, std::span<const std::span<const std::byte>>(&bytes, 1));
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

Sha256::Sha256() : context_(std::make_unique<sha256_ctx>()) { sha256_init(context_.get()); }

Sha256::~Sha256() = default;

void Sha256::add(std::span<const std::byte> bytes) {
  sha256_update(context_.get(), bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
}

std::string Sha256::hex() {
  std::array<std::uint8_t, SHA256_DIGEST_SIZE> digest{};
  sha256_digest(context_.get(), digest.size(), digest.data());
  std::string text;
  for (const std::uint8_t byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

std::string sha256_of_file(const std::filesystem::path& path) {
  const File file(path);
  Sha256 digest;
  std::vector<std::byte> chunk(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < file.size(); at += chunk.size()) {
    const std::span<std::byte> part(chunk.data(), std::min<std::uint64_t>(chunk.size(), file.size() - at));
    file.read_at(at, part);
    digest.add(part);
  }
  return digest.hex();
}

std::string sha256_of(std::string_view text) {
  Sha256 digest;
  digest.add(text);
  return digest.hex();
}

}  // namespace shardlora
