// Unicode's normalisation forms as the `tokenizers` package makes them: its tables are older than utf8proc's, so
// characters that it does not know stay as they are. Linear in the text's length, whatever is in it.
#pragma once

#include <cstdint>

#include "data/tokenizer/aligned_text.h"

namespace shardlora {

enum class NormalizationForm : std::uint8_t { kNFC, kNFD, kNFKC, kNFKD };

AlignedText normalized(const AlignedText& text, NormalizationForm form);

}  // namespace shardlora
