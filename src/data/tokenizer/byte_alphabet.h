// GPT-2's byte alphabet, in which byte-level vocabularies are spelt: printable Latin-1 stands for itself, the other 68
// bytes are U+0100, U+0101, ... in order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace shardlora {

class ByteAlphabet {
 public:
  static const ByteAlphabet& get();
  // The character that stands for a byte, in UTF-8.
  std::string_view spelling(std::uint8_t byte) const { return spellings_[byte]; }
  // The bytes that a token stands for; nullopt where a character of it is outside the alphabet.
  std::optional<std::string> bytes(std::string_view token) const;

 private:
  ByteAlphabet();
  std::array<std::string, 256> spellings_;
  std::array<std::int16_t, 512> byte_of_{};  // [code point], -1 for none
};

}  // namespace shardlora
