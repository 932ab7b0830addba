// Products of small f32 tiles that lie in the cache: what attention is made of. One thread, fixed order of summation.
#pragma once

#include <cstdint>

namespace shardlora::cpu {

// A tile read at a[row * row_stride + column * column_stride], so a transposed tile needs no copy.
struct StridedTile {
  const float* data;
  std::int64_t row_stride, column_stride;
};

// c (m, n) = a (m, k) b (k, n); c and b are row-major with rows of ldc and ldb values. n is a multiple of 16.
void tile_product(float* c, std::int64_t ldc, StridedTile a, const float* b, std::int64_t ldb, std::int64_t m,
                  std::int64_t n, std::int64_t k);
// c += a b.
void add_tile_product(float* c, std::int64_t ldc, StridedTile a, const float* b, std::int64_t ldb, std::int64_t m,
                      std::int64_t n, std::int64_t k);

}  // namespace shardlora::cpu
