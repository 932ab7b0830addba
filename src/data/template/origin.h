// Where a character of a rendered template came from.
#pragma once

#include <cstdint>

namespace shardlora {

struct Origin {
  enum class Kind : std::uint8_t {
    kTemplate,  // the template's own text, bos_token and eos_token
    kData,      // the row's, but nothing that a turn says: role, name, tools
    kContent,   // what message `message` says: content, reasoning, calls of tools
  };
  Kind kind = Kind::kTemplate;
  std::int32_t message = -1;    // index of the message; -1: none
  std::int32_t generation = 0;  // which {% generation %} block wrote it, counted from 1; 0: none
  bool operator==(const Origin&) const = default;
};

}  // namespace shardlora
