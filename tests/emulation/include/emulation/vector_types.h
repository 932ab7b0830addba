// CUDA's short vectors. Those of 8 and 16 bytes are aligned to their size, as on the device: a pointer to one that is
// not is found by the emulation.
#pragma once

#define EMULATED_VECTORS(name, type)                                  \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };            \
  struct alignas(4 * sizeof(type)) name##4 { type x, y, z, w; };      \
  constexpr name##2 make_##name##2(type x, type y) { return {x, y}; } \
  constexpr name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

EMULATED_VECTORS(float, float)
EMULATED_VECTORS(int, int)
EMULATED_VECTORS(uint, unsigned)
EMULATED_VECTORS(short, short)
EMULATED_VECTORS(ushort, unsigned short)
EMULATED_VECTORS(uchar, unsigned char)
#undef EMULATED_VECTORS

struct alignas(16) longlong2 {
  long long x, y;
};
struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};
struct alignas(16) double2 {
  double x, y;
};
struct float3 {
  float x, y, z;
};
constexpr float3 make_float3(float x, float y, float z) { return {x, y, z}; }
