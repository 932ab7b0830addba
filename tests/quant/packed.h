// A packed tensor with its bytes, for tests.
#pragma once

#include <span>
#include <vector>

#include "quant/quantize.h"

namespace shardlora {

struct Packed {
  Packed(const Format& format, std::span<const float> values) : tensor{format, {std::ssize(values)}, {}} {
    const SectionBytes sizes = section_bytes(format, {std::ssize(values)});
    for (std::size_t s = 0; s < sizes.size(); ++s) {
      bytes[s].resize(sizes[s]);
      tensor.sections[s] = bytes[s].data();
    }
    quantize(format, values, sections());
  }
  Sections sections() {
    Sections out{};
    for (std::size_t s = 0; s < out.size(); ++s) out[s] = bytes[s].data();
    return out;
  }
  std::array<std::vector<std::byte>, kSections> bytes;
  PackedTensor tensor;
};

}  // namespace shardlora
