// Sixteen 32-bit lanes: GCC's vector extension, one AVX-512 register or as many narrower ones as the machine needs.
#pragma once

#include <cstdint>
#include <cstring>

namespace shardlora::cpu {

inline constexpr int kLanes = 16;
typedef float FloatLanes __attribute__((vector_size(64)));
typedef std::uint32_t IntLanes __attribute__((vector_size(64)));

// By reference, never by value: without AVX-512 the two have different calling conventions.
template <typename Lanes>
[[gnu::always_inline]] inline void load(Lanes& lanes, const void* from) {
  std::memcpy(&lanes, from, sizeof lanes);
}
template <typename Lanes>
[[gnu::always_inline]] inline void store(void* to, const Lanes& lanes) {
  std::memcpy(to, &lanes, sizeof lanes);
}

// Lane i of `to` is lane from[i] of `lanes`, the upper bits of from[i] left out; clang shuffles by constants only.
template <typename Lanes>
[[gnu::always_inline]] inline void shuffle(Lanes& to, const Lanes& lanes, const IntLanes& from) {
#ifdef __clang__
  for (int i = 0; i < kLanes; ++i) to[i] = lanes[from[i] % kLanes];
#else
  to = __builtin_shuffle(lanes, from);
#endif
}

}  // namespace shardlora::cpu
