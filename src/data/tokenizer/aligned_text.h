// Text, and where in an original text each of its bytes came from. Normalisers and pre-tokenizers rewrite text; tokens
// are reported in the original.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace shardlora {

class AlignedText {
 public:
  AlignedText() = default;
  // Part of the original, which begins there at byte `origin`.
  AlignedText(std::string_view text, std::size_t origin) : text_(text), base_(static_cast<std::uint32_t>(origin)) {}

  const std::string& text() const { return text_; }
  // Where byte `at` came from; at == text().size() is allowed. Bytes [a, b) stand for [origin(a), origin(b)) of the
  // original. Never falls.
  std::uint32_t origin(std::size_t at) const {
    return origins_.empty() ? base_ + static_cast<std::uint32_t>(at) : origins_[at];
  }
  AlignedText part(std::size_t begin, std::size_t end) const {
    AlignedText out(std::string_view(text_).substr(begin, end - begin), origin(begin));
    if (!origins_.empty())
      out.origins_.assign(origins_.begin() + static_cast<std::ptrdiff_t>(begin),
                          origins_.begin() + static_cast<std::ptrdiff_t>(end) + 1);
    return out;
  }

 private:
  friend class Rewrite;
  std::string text_;
  std::uint32_t base_ = 0;
  std::vector<std::uint32_t> origins_;  // text_.size() + 1; empty where text_ is the original's
};

// Makes a new text out of an old one, from its begin to its end. What is neither kept nor replaced is left out.
class Rewrite {
 public:
  explicit Rewrite(const AlignedText& from) : from_(from) {
    to_.text_.reserve(from.text().size() + 16);
    to_.origins_.reserve(from.text().size() + 17);
  }
  void keep(std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end; ++at) to_.origins_.push_back(from_.origin(at));
    to_.text_.append(from_.text(), begin, end - begin);
    end_ = end;
  }
  // `text` stands for bytes [begin, end) of the old one; its own bytes share them evenly, so tokens never overlap.
  void put(std::string_view text, std::size_t begin, std::size_t end) {
    const std::uint64_t first = from_.origin(begin), length = from_.origin(end) - first;
    for (std::size_t i = 0; i < text.size(); ++i)
      to_.origins_.push_back(static_cast<std::uint32_t>(first + length * i / text.size()));
    to_.text_ += text;
    end_ = end;
  }
  std::size_t size() const { return to_.text_.size(); }  // of the new text so far
  AlignedText done() {
    to_.origins_.push_back(from_.origin(end_));
    return std::move(to_);
  }

 private:
  const AlignedText& from_;
  AlignedText to_;
  std::size_t end_ = 0;
};

}  // namespace shardlora
