// Letters of ASCII; those of other alphabets stay as they are, whatever the locale.
#pragma once

#include <string>

namespace shardlora {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline std::string lower_case(std::string text) {
  for (char& c : text) c = to_lower(c);
  return text;
}

}  // namespace shardlora
