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
  // Which part of what the message says, or of the row. A call has two, what is called and with which arguments; the
  // j-th part of a content that is a list, from 0, is -1 - j.
  std::int32_t part = 0;
  static constexpr std::int32_t kText = 1, kThoughts = 2, kTools = 3, kCalls = 4;
  static constexpr std::int32_t name_of_call(std::size_t k) { return kCalls + 2 * static_cast<std::int32_t>(k); }
  static constexpr std::int32_t arguments_of_call(std::size_t k) { return name_of_call(k) + 1; }
  static constexpr std::int32_t part_of_list(std::size_t j) { return -1 - static_cast<std::int32_t>(j); }
  bool operator==(const Origin&) const = default;
};

}  // namespace shardlora
