// The warp's product: the last lane to come unpacks the fragments, multiplies and hands every lane its sums.
#include "emulation/mma.h"

#include <cstring>

#include "emulation/device.h"

namespace emulation {

namespace {

struct Fragments {
  const unsigned* a;
  const unsigned* b;
  float* d;
};

template <bool kBF16>
float element(unsigned packed, unsigned half) {
  const auto bits = static_cast<std::uint16_t>(packed >> (16 * half));
  if constexpr (kBF16) return std::bit_cast<float>(static_cast<unsigned>(bits) << 16);
  return half_to_float(bits);
}

// Lane 4 g + t holds, two columns in a register: a[0] row g, a[1] row g + 8 at columns 2t, a[2], a[3] the same at
// columns 2t + 8; b[0] rows 2t of column g, b[1] rows 2t + 8; d[0..1] row g, columns 2t, d[2..3] row g + 8.
template <bool kBF16>
void multiply(Payloads lanes, unsigned) {
  float a[16][16], b[16][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const auto& f = *static_cast<const Fragments*>(lanes[lane]);
    const unsigned g = lane / 4, t = lane % 4;
    for (unsigned half = 0; half < 2; ++half) {
      for (unsigned i = 0; i < 4; ++i) a[g + 8 * (i % 2)][2 * t + 8 * (i / 2) + half] = element<kBF16>(f.a[i], half);
      for (unsigned i = 0; i < 2; ++i) b[2 * t + 8 * i + half][g] = element<kBF16>(f.b[i], half);
    }
  }
  for (unsigned row = 0; row < 16; ++row) {
    float sums[8]{};
    for (unsigned k = 0; k < 16; ++k)
      for (unsigned column = 0; column < 8; ++column) sums[column] += a[row][k] * b[k][column];
    for (unsigned t = 0; t < 4; ++t) {
      float* d = static_cast<const Fragments*>(lanes[row % 8 * 4 + t])->d + row / 8 * 2;
      d[0] += sums[2 * t];
      d[1] += sums[2 * t + 1];
    }
  }
}

}  // namespace

void mma_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], bool bf16,
               const std::source_location& where) {
  Fragments fragments{a, b, d};
  meet_in_warp("mma_16816", 0xFFFFFFFFU, where, &fragments, bf16 ? &multiply<true> : &multiply<false>);
}

}  // namespace emulation
