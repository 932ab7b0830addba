#include "backend/cpu/cpu_features.h"

#include <oneapi/dnnl/dnnl.h>

namespace shardlora {

InstructionSet instruction_set() {
  // Each value has the bits of all that it includes, in oneDNN 2 as in 3.
  static const InstructionSet set = [] {
    const int effective = dnnl_get_effective_cpu_isa();
    const auto includes = [effective](int isa) { return (effective & isa) == isa; };
    if (includes(dnnl_cpu_isa_avx512_core_amx)) return InstructionSet::kAmx;
    if (includes(dnnl_cpu_isa_avx512_core_bf16)) return InstructionSet::kAvx512Bf16;
    if (includes(dnnl_cpu_isa_avx512_core)) return InstructionSet::kAvx512;
    return includes(dnnl_cpu_isa_avx2) ? InstructionSet::kAvx2 : InstructionSet::kNone;
  }();
  return set;
}

const char* name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::kNone: return "none";
    case InstructionSet::kAvx2: return "AVX2";
    case InstructionSet::kAvx512: return "AVX-512";
    case InstructionSet::kAvx512Bf16: return "AVX512_BF16";
    case InstructionSet::kAmx: return "AMX";
  }
  return "unknown";
}

}  // namespace shardlora
