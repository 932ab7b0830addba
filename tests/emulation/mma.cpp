// What a warp does together: the last lane to come unpacks the fragments, multiplies and hands every lane its sums, or
// reads the rows of all lanes.
#include "emulation/mma.h"

#include <cstring>

#include "emulation/block.h"
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

struct Rows {
  const void* row;
  unsigned* d;
};

template <bool kTransposed>
void load(Payloads lanes, unsigned) {
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    std::uint16_t values[8][8];
    for (unsigned row = 0; row < 8; ++row)
      std::memcpy(values[row], static_cast<const Rows*>(lanes[8 * matrix + row])->row, sizeof values[row]);
    for (unsigned lane = 0; lane < 32; ++lane) {
      const unsigned i = lane / 4, j = 2 * (lane % 4);
      const unsigned low = kTransposed ? values[j][i] : values[i][j];
      const unsigned high = kTransposed ? values[j + 1][i] : values[i][j + 1];
      static_cast<const Rows*>(lanes[lane])->d[matrix] = low | high << 16;
    }
  }
}

void check_shared(const void* address, const std::source_location* where) {
  if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0)
    fail_thread(cudaErrorMisalignedAddress, "16 bytes of shared memory at an address that is no multiple of 16", where);
  if (!is_shared(address, 16)) fail_thread(cudaErrorIllegalAddress, "16 bytes that do not lie in shared memory", where);
}

}  // namespace

void load_matrices(unsigned (&d)[4], const void* row, bool transposed, const std::source_location& where) {
  check_shared(row, &where);
  Rows rows{row, d};
  meet_in_warp("load_matrices", 0xFFFFFFFFU, where, &rows, transposed ? &load<true> : &load<false>);
}

void copy_16_later(void* shared, const void* global, bool take) {
  check_shared(shared, nullptr);
  if (take && reinterpret_cast<std::uintptr_t>(global) % 16 != 0)
    fail_thread(cudaErrorMisalignedAddress, "16 bytes are copied from an address that is no multiple of 16");
  Block::running()->copies().push_back({shared, take ? global : nullptr});
}

void copy_now() {
  auto& copies = Block::running()->copies();
  for (const auto& [to, from] : copies) {
    if (from == nullptr)
      std::memset(to, 0, 16);
    else
      std::memcpy(to, from, 16);
  }
  copies.clear();
}

void mma_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], bool bf16,
               const std::source_location& where) {
  Fragments fragments{a, b, d};
  meet_in_warp("mma_16816", 0xFFFFFFFFU, where, &fragments, bf16 ? &multiply<true> : &multiply<false>);
}

}  // namespace emulation
