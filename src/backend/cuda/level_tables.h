// The codecs' levels in constant memory, for kernels that look them up.
#pragma once

#include "backend/cuda/device_code.h"
#include "quant/nf4.h"

namespace shardlora::cuda {

__constant__ constexpr std::array<float, kNf4Levels> kNf4Table = kNf4Values;
__constant__ constexpr std::array<float, kDynamicLevels> kDynamicTable = kDynamicMap;

}  // namespace shardlora::cuda
