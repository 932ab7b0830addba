// One character of UTF-8 at a time, as the Unicode standard's table 3-7 defines well-formed sequences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace shardlora {

struct Character {
  std::uint32_t code_point;
  std::uint32_t length;  // bytes; of a malformed sequence, its maximal subpart, which one U+FFFD replaces
  bool valid;
};

// text[at] must exist.
inline Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(at);
  if (first < 0x80) return {first, 1, true};
  if (first < 0xC2 || first > 0xF4) return {0xFFFD, 1, false};
  const std::uint32_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and code points above 0x10FFFF.
  std::uint32_t low = first == 0xE0 ? 0xA0U : first == 0xF0 ? 0x90U : 0x80U;
  std::uint32_t high = first == 0xED ? 0x9FU : first == 0xF4 ? 0x8FU : 0xBFU;
  std::uint32_t code_point = first & (0x7FU >> length);
  for (std::uint32_t i = 1; i < length; ++i) {
    if (at + i >= text.size() || byte(at + i) < low || byte(at + i) > high) return {0xFFFD, i, false};
    code_point = (code_point << 6) | (byte(at + i) & 0x3FU);
    low = 0x80, high = 0xBF;
  }
  return {code_point, length, true};
}

}  // namespace shardlora
