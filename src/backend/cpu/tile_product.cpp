// Built with -ffp-contract=fast (src/CMakeLists.txt): every product here is added at once, so it may be one fused
// instruction. A block of c stays in registers: kRows broadcasts of a against kColumns registers of b.
#include "backend/cpu/tile_product.h"

#include <type_traits>

#include "backend/cpu/lanes.h"

namespace shardlora::cpu {

namespace {

constexpr int kRows = 6, kColumns = 4;

template <int Rows, int Columns, bool kAdd>
void block(float* __restrict c, std::int64_t ldc, StridedTile a, const float* __restrict b, std::int64_t ldb,
           std::int64_t k) {
  FloatLanes sum[Rows][Columns];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < Columns; ++j) {
      if constexpr (kAdd)
        load(sum[r][j], c + r * ldc + j * kLanes);
      else
        sum[r][j] = FloatLanes{};
    }
  for (std::int64_t i = 0; i < k; ++i) {
    FloatLanes right[Columns];
#pragma GCC unroll 4
    for (int j = 0; j < Columns; ++j) load(right[j], b + i * ldb + j * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const float left = a.data[r * a.row_stride + i * a.column_stride];
#pragma GCC unroll 4
      for (int j = 0; j < Columns; ++j) sum[r][j] += left * right[j];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < Columns; ++j) store(c + r * ldc + j * kLanes, sum[r][j]);
}

template <int Columns, bool kAdd>
void panel(float* c, std::int64_t ldc, StridedTile a, const float* b, std::int64_t ldb, std::int64_t m,
           std::int64_t k) {
  std::int64_t row = 0;
  const auto next = [&]<int Rows>(std::integral_constant<int, Rows>) {
    block<Rows, Columns, kAdd>(c + row * ldc, ldc, {a.data + row * a.row_stride, a.row_stride, a.column_stride}, b, ldb,
                               k);
    row += Rows;
  };
  while (m - row >= kRows) next(std::integral_constant<int, kRows>{});
  if (m - row >= 4) next(std::integral_constant<int, 4>{});
  if (m - row >= 2) next(std::integral_constant<int, 2>{});
  if (m - row >= 1) next(std::integral_constant<int, 1>{});
}

template <bool kAdd>
void product(float* c, std::int64_t ldc, StridedTile a, const float* b, std::int64_t ldb, std::int64_t m,
             std::int64_t n, std::int64_t k) {
  std::int64_t column = 0;
  for (; n - column >= kColumns * kLanes; column += kColumns * kLanes)
    panel<kColumns, kAdd>(c + column, ldc, a, b + column, ldb, m, k);
  for (; n - column >= 2 * kLanes; column += 2 * kLanes) panel<2, kAdd>(c + column, ldc, a, b + column, ldb, m, k);
  for (; n - column >= kLanes; column += kLanes) panel<1, kAdd>(c + column, ldc, a, b + column, ldb, m, k);
}

}  // namespace

void tile_product(float* c, std::int64_t ldc, StridedTile a, const float* b, std::int64_t ldb, std::int64_t m,
                  std::int64_t n, std::int64_t k) {
  product<false>(c, ldc, a, b, ldb, m, n, k);
}

void add_tile_product(float* c, std::int64_t ldc, StridedTile a, const float* b, std::int64_t ldb, std::int64_t m,
                      std::int64_t n, std::int64_t k) {
  product<true>(c, ldc, a, b, ldb, m, n, k);
}

}  // namespace shardlora::cpu
