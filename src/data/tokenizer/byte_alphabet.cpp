#include "data/tokenizer/byte_alphabet.h"

#include "base/utf8.h"

namespace shardlora {

const ByteAlphabet& ByteAlphabet::get() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

ByteAlphabet::ByteAlphabet() {
  byte_of_.fill(-1);
  std::uint32_t next = 0x100;
  for (std::uint32_t b = 0; b < 256; ++b) {
    const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    const std::uint32_t c = itself ? b : next++;
    byte_of_[c] = static_cast<std::int16_t>(b);
    if (c < 0x80)
      spellings_[b] = {static_cast<char>(c)};
    else
      spellings_[b] = {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
  }
}

std::optional<std::string> ByteAlphabet::bytes(std::string_view token) const {
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    const Character c = character_at(token, at);
    if (!c.valid || c.code_point >= byte_of_.size() || byte_of_[c.code_point] < 0) return std::nullopt;
    out += static_cast<char>(byte_of_[c.code_point]);
    at += c.length;
  }
  return out;
}

}  // namespace shardlora
