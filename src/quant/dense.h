// Values as they are, in f32, bf16 or f16: one section, a tensor.
#pragma once

#include "quant/codec.h"

namespace shardlora {

extern const CodecRow kF32Row, kBF16Row, kF16Row;

}  // namespace shardlora
