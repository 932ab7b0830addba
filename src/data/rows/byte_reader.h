// The bytes of a file from front to back, in chunks of a megabyte, with the number of the line.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

#include "base/file.h"

namespace shardlora {

class ByteReader {
 public:
  static constexpr int kEnd = -1;

  explicit ByteReader(const std::filesystem::path& path) : file_(path) {
    if (peek() == 0xEF && chunk_.size() >= 3 && chunk_.compare(0, 3, "\xEF\xBB\xBF") == 0) at_ = 3;
  }
  const std::filesystem::path& path() const { return file_.path(); }
  std::int64_t line() const { return line_; }  // of the byte that comes next, from 1

  int peek() { return at_ < chunk_.size() || fill() ? static_cast<unsigned char>(chunk_[at_]) : kEnd; }
  int take() {
    const int byte = peek();
    if (byte != kEnd) ++at_;
    if (byte == '\n') ++line_;
    return byte;
  }
  // Appends the bytes before the next `\n` to `out`, at most `limit` of them, and passes over the `\n` where it got
  // that far. False at the end of the file.
  bool take_line(std::string& out, std::size_t limit) {
    if (peek() == kEnd) return false;
    while (peek() != kEnd) {
      const auto from = chunk_.begin() + static_cast<std::ptrdiff_t>(at_);
      const auto newline = std::find(from, chunk_.end(), '\n');
      const std::size_t room = limit - out.size(), length = static_cast<std::size_t>(newline - from);
      out.append(chunk_, at_, std::min(room, length));
      at_ += std::min(room, length);
      if (length > room) return true;
      if (newline != chunk_.end()) {
        take();
        return true;
      }
    }
    return true;
  }

 private:
  static constexpr std::uint64_t kChunk = std::uint64_t{1} << 20;

  bool fill() {
    const std::uint64_t left = file_.size() - offset_;
    if (left == 0) return false;
    chunk_.resize(static_cast<std::size_t>(std::min(left, kChunk)));
    file_.read_at(offset_, std::as_writable_bytes(std::span(chunk_)));
    offset_ += chunk_.size();
    at_ = 0;
    return true;
  }

  File file_;
  std::uint64_t offset_ = 0;
  std::string chunk_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

}  // namespace shardlora
