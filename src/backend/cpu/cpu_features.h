// What this CPU can do, asked at run time. Matrix products follow it in speed and in their last bits.
#pragma once

#include <cstdint>

namespace shardlora {

// The widest instructions that matrix products use: what the CPU has, or less where oneDNN's DNNL_MAX_CPU_ISA (AVX2,
// AVX512_CORE, AVX512_CORE_BF16, AVX512_CORE_AMX) says so.
enum class InstructionSet : std::uint8_t { kNone, kAvx2, kAvx512, kAvx512Bf16, kAmx };

InstructionSet instruction_set();
const char* name_of(InstructionSet set);  // "AVX-512"

// Multiplies bf16 with f32 sums in hardware; without it bf16 costs more than f32 and some libraries refuse it.
inline bool has_bf16() { return instruction_set() >= InstructionSet::kAvx512Bf16; }

}  // namespace shardlora
