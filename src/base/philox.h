// Philox4x32-10, a counter-based random generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC'11). The value depends on key and counter only: no state to save, no order to keep, the same bits on every rank
// and backend.
#pragma once

#include <array>
#include <cstdint>

#include "base/host_device.h"

namespace shardlora {

struct PhiloxKey {
  std::uint32_t low = 0, high = 0;
};

struct PhiloxCounter {
  std::uint32_t x = 0, y = 0, z = 0, w = 0;
};

struct PhiloxBlock {
  std::uint32_t v[4];
};

HOST_DEVICE inline PhiloxBlock philox(PhiloxKey key, PhiloxCounter c) {
  constexpr std::uint64_t kMultiplierA = 0xD2511F53, kMultiplierB = 0xCD9E8D57;
  constexpr std::uint32_t kWeylA = 0x9E3779B9, kWeylB = 0xBB67AE85;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = kMultiplierA * c.x, b = kMultiplierB * c.z;
    const auto a_high = static_cast<std::uint32_t>(a >> 32), a_low = static_cast<std::uint32_t>(a);
    const auto b_high = static_cast<std::uint32_t>(b >> 32), b_low = static_cast<std::uint32_t>(b);
    c = {b_high ^ c.y ^ key.low, b_low, a_high ^ c.w ^ key.high, a_low};
    key.low += kWeylA;
    key.high += kWeylB;
  }
  return {{c.x, c.y, c.z, c.w}};
}

// Uniform in [0, 1), 24 bits.
HOST_DEVICE inline float uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24F; }

// The key of what is drawn while training in an epoch: masks of dropout, noise on embeddings.
inline PhiloxKey noise_key(std::uint64_t seed, std::uint32_t epoch) {
  constexpr std::uint32_t kStream = 0x0D4097EE;  // keeps these draws apart from other uses of the seed
  const PhiloxBlock mixed =
      philox({static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}, {epoch, 0, 0, kStream});
  return {mixed.v[0], mixed.v[1]};
}

}  // namespace shardlora
