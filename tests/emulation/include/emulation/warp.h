// The functions of a warp: every lane of the mask has to call the same one at the same place.
#pragma once

#include <bit>

#include "emulation/device.h"

namespace emulation {

// What a lane brings to a shuffle: its value and the lane that it reads, 32 for its own value.
template <typename T>
struct Shuffle {
  T value, result;
  unsigned source;
};

template <typename T>
T shuffle(const char* what, unsigned mask, T value, unsigned source, const std::source_location& where) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  Shuffle<T> payload{value, value, source};
  if (source < 32 && (mask >> source & 1U) == 0)
    fail_thread(cudaErrorLaunchFailure, "a shuffle reads a lane that is not in its mask", &where);
  meet_in_warp(what, mask, where, &payload, [](Payloads lanes, unsigned in) {
    for (unsigned rest = in; rest != 0; rest &= rest - 1) {
      auto& mine = *static_cast<Shuffle<T>*>(lanes[std::countr_zero(rest)]);
      if (mine.source < 32) mine.result = static_cast<const Shuffle<T>*>(lanes[mine.source])->value;
    }
  });
  return payload.result;
}

inline unsigned vote(const char* what, unsigned mask, bool yes, const std::source_location& where) {
  struct Vote {
    bool yes;
    unsigned ballot;
  } payload{yes, 0};
  meet_in_warp(what, mask, where, &payload, [](Payloads lanes, unsigned in) {
    unsigned ballot = 0;
    for (unsigned rest = in; rest != 0; rest &= rest - 1) {
      const int lane = std::countr_zero(rest);
      ballot |= static_cast<unsigned>(static_cast<const Vote*>(lanes[lane])->yes) << lane;
    }
    for (unsigned rest = in; rest != 0; rest &= rest - 1)
      static_cast<Vote*>(lanes[std::countr_zero(rest)])->ballot = ballot;
  });
  return payload.ballot;
}

}  // namespace emulation

inline void __syncwarp(unsigned mask = 0xFFFFFFFFU,
                       const std::source_location& where = std::source_location::current()) {
  emulation::meet_in_warp("__syncwarp", mask, where, nullptr, [](emulation::Payloads, unsigned) {});
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              const std::source_location& where = std::source_location::current()) {
  const unsigned mine = emulation::lane(), size = static_cast<unsigned>(width);
  return emulation::shuffle("__shfl_sync", mask, value, (mine & ~(size - 1)) + (static_cast<unsigned>(source) % size),
                            where);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  const std::source_location& where = std::source_location::current()) {
  const unsigned mine = emulation::lane(), size = static_cast<unsigned>(width);
  const unsigned other = mine ^ static_cast<unsigned>(lanes);
  return emulation::shuffle("__shfl_xor_sync", mask, value, other >= (mine & ~(size - 1)) + size ? 32 : other, where);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   const std::source_location& where = std::source_location::current()) {
  const unsigned mine = emulation::lane(), size = static_cast<unsigned>(width);
  return emulation::shuffle("__shfl_down_sync", mask, value, mine % size + delta < size ? mine + delta : 32, where);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 const std::source_location& where = std::source_location::current()) {
  const unsigned mine = emulation::lane(), size = static_cast<unsigned>(width);
  return emulation::shuffle("__shfl_up_sync", mask, value, mine % size >= delta ? mine - delta : 32, where);
}

inline unsigned __ballot_sync(unsigned mask, int yes,
                              const std::source_location& where = std::source_location::current()) {
  return emulation::vote("__ballot_sync", mask, yes != 0, where);
}
inline int __any_sync(unsigned mask, int yes, const std::source_location& where = std::source_location::current()) {
  return emulation::vote("__any_sync", mask, yes != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int yes, const std::source_location& where = std::source_location::current()) {
  return emulation::vote("__all_sync", mask, yes != 0, where) == mask;
}
