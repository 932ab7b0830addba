// Kernels that the laws of the emulation are shown on, as pointers: some right, some with a planted bug.
#pragma once

#include <cuda_runtime.h>

#include "tensor/dtype.h"

namespace emulation_test {

using shardlora::BF16;
using shardlora::F16;

struct Pointers {
  int n;
  const float* x;
  float* y;
};

extern void (*const kDoubled)(float*, const float*, int);
extern void (*const kBlockSums)(float*, const float*, int);
extern void (*const kTransposed)(float*, const float*, int);
extern void (*const kTransposedWithoutBarrier)(float*, const float*, int);
extern void (*const kArrivals)(int*, unsigned*);
extern void (*const kWarpFunctions)(int*);
extern void (*const kProductBF16)(float*, const BF16*, const BF16*);
extern void (*const kProductF16)(float*, const F16*, const F16*);
extern void (*const kMatrices)(unsigned*, const unsigned short*);
extern void (*const kCopied)(float*, const float*);
extern void (*const kCopiedWithoutWait)(float*, const float*);
extern void (*const kBarrierForHalf)();
extern void (*const kBarriersOfTwoKinds)();
extern void (*const kShuffleForHalf)(int*);
extern void (*const kSharedOverrun)(int);
extern void (*const kStaticOverrun)(float*, int);
extern void (*const kUnwritten)(float*, bool);
extern void (*const kFourAtOnce)(float4*, const float*);
extern void (*const kFourByReference)(float4*, const float*);
extern void (*const kCheckIndex)(int);
extern void (*const kReadAt)(float*, const float*, long);
extern void (*const kDivided)(int*, int);
extern void (*const kThroughStruct)(Pointers);

}  // namespace emulation_test
