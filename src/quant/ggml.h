// The codecs of quantised GGUF files: blocks that lie one after the other in section 0, decoded as they are and never
// made here. A row of a tensor is whole blocks, so rows may be moved.
#pragma once

#include "quant/codec.h"

namespace shardlora {

extern const CodecRow kQ4_0Row, kQ4_1Row, kQ5_0Row, kQ5_1Row, kQ8_0Row, kQ2_KRow, kQ3_KRow, kQ4_KRow, kQ5_KRow,
    kQ6_KRow;

}  // namespace shardlora
