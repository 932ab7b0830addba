// JSON from outside: nlohmann's parser with limits. Nesting deeper than 64, a key twice in one object, an integer that
// 64 bits cannot hold, a number that is not finite and text that is not UTF-8 are each an Error
// `<what>: byte <offset>: <reason>`.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

namespace shardlora {

// What an integer beyond 64 bits is: an Error, or the nearest double (Python writes 10^30 for "no limit").
enum class LargeIntegers : std::uint8_t { kRefused, kRounded };

// `what` opens the error's text: "data.jsonl:17", "model/config.json".
nlohmann::json parse_json(std::string_view text, std::string_view what,
                          LargeIntegers large_integers = LargeIntegers::kRefused);
// Keeps the order of keys as written (for what is printed again). Looking up a key is linear: for small objects only.
nlohmann::ordered_json parse_ordered_json(std::string_view text, std::string_view what);

}  // namespace shardlora
