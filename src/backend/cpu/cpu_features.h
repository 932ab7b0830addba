// What this CPU can do, asked at run time.
#pragma once

namespace shardlora {

// Multiplies bf16 with f32 sums in hardware; without it bf16 costs more than f32 and some libraries refuse it.
inline bool has_bf16() { return __builtin_cpu_supports("avx512bf16") != 0; }

}  // namespace shardlora
