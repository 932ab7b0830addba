// Reads a file from its start to its end, a megabyte at a time from the disk. Whatever the file does not hold is an
// Error with path, byte offset and reason, before anything is allocated for it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace shardlora {

class CheckedReader {
 public:
  explicit CheckedReader(const File& file) : file_(file), buffer_(std::min<std::uint64_t>(file.size(), 1 << 20)) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t remaining() const { return file_.size() - position_; }

  template <typename T>
  T take() {
    point_at(position_);
    T value;
    read(std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }

  // A length of 64 bits, then the bytes.
  std::string take_string(std::uint64_t most, const char* what) {
    const auto length = take<std::uint64_t>();
    if (length > most) garbled("{} of {} bytes, at most {} are allowed", what, length, most);
    if (length > remaining()) garbled("{} of {} bytes where {} remain", what, length, remaining());
    std::string text(length, '\0');
    read(std::as_writable_bytes(std::span(text)));
    return text;
  }

  // Errors name the offset of the last value taken, unless they are told another.
  void point_at(std::uint64_t offset) { blamed_ = offset; }
  template <typename... Args>
  [[noreturn]] void garbled(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}: byte {}: {}; the file is damaged or of another kind, get it again", file_.path().string(), blamed_,
         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  void read(std::span<std::byte> out) {
    if (out.size() > remaining()) garbled("{} bytes are wanted and {} remain", out.size(), remaining());
    while (!out.empty()) {
      if (position_ == end_) fill();
      const std::size_t part = std::min<std::size_t>(out.size(), end_ - position_);
      std::copy_n(buffer_.data() + (position_ - begin_), part, out.data());
      position_ += part;
      out = out.subspan(part);
    }
  }
  void fill() {
    begin_ = position_;
    end_ = begin_ + std::min<std::uint64_t>(buffer_.size(), remaining());
    file_.read_at(begin_, std::span(buffer_.data(), end_ - begin_));
  }

  const File& file_;
  std::vector<std::byte> buffer_;
  std::uint64_t begin_ = 0, end_ = 0;  // of the buffer's bytes in the file
  std::uint64_t position_ = 0;
  std::uint64_t blamed_ = 0;
};

}  // namespace shardlora
