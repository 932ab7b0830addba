// Rows found by index: embed and its backward, gather_rows, scatter_rows.
#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {

// A wrong index would read or write anywhere; K comparisons cost nothing beside K rows.
void check_indices(ConstTensor indices, std::int64_t limit, const char* what) {
  const auto* index = indices.as<std::int32_t>();
  bool inside = true;
  for (std::int64_t i = 0; i < indices.numel(); ++i) inside = inside && 0 <= index[i] && index[i] < limit;
  CHECK(inside, "{}: an index is outside [0, {})", what, limit);
}

// Of tokens of the whole vocabulary.
void check_tokens(ConstTensor tokens, ConstTensor table, TableSlice slice, const char* what) {
  check_indices(tokens, slice.vocab > 0 ? slice.vocab : table.dim(0), what);
}

}  // namespace

void embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice) {
  check_tokens(tokens, table, slice, "embed");
  const std::int64_t n = y.dim(0), d = y.dim(1);
  const auto* token = tokens.as<std::int32_t>();
  with_float_type(y.dtype, [&]<typename To>(std::type_identity<To>) {
    with_float_type(table.dtype, [&]<typename From>(std::type_identity<From>) {
      To* out = y.as<To>();
      const From* values = table.as<From>();
#pragma omp parallel for schedule(static) if (n * d > kParallelValues)
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t row = token[i] - slice.first;
        if (row < 0 || row >= table.dim(0)) continue;
        To* to = out + i * d;
        const From* from = values + row * d;
#pragma omp simd
        for (std::int64_t k = 0; k < d; ++k) to[k] = from_float<To>(to_float(from[k]));
      }
    });
  });
}

void embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice) {
  check_tokens(tokens, dtable, slice, "embed_backward");
  zero(dtable);
  const std::int64_t n = dy.dim(0), d = dy.dim(1);
  constexpr std::int64_t kColumns = 64;  // a thread's: every sum is one thread's, in the order of the rows
  const auto* token = tokens.as<std::int32_t>();
  with_float_type(dy.dtype, [&]<typename T>(std::type_identity<T>) {
    float* out = dtable.as<float>();
    const T* values = dy.as<T>();
#pragma omp parallel for schedule(static) if (n * d > kParallelValues)
    for (std::int64_t begin = 0; begin < d; begin += kColumns) {
      const std::int64_t end = std::min(begin + kColumns, d);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t row = token[i] - slice.first;
        if (row < 0 || row >= dtable.dim(0)) continue;
        float* to = out + row * d;
        const T* from = values + i * d;
#pragma omp simd
        for (std::int64_t k = begin; k < end; ++k) to[k] += to_float(from[k]);
      }
    }
  });
}

void gather_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  check_indices(rows, x.dim(0), "gather_rows");
  const std::int64_t n = y.dim(0);
  const std::size_t row = static_cast<std::size_t>(y.dim(1)) * size_of(y.dtype);
  const auto* index = rows.as<std::int32_t>();
#pragma omp parallel for schedule(static) if (y.numel() > kParallelValues)
  for (std::int64_t i = 0; i < n; ++i)
    std::memcpy(y.data + static_cast<std::size_t>(i) * row, x.data + static_cast<std::size_t>(index[i]) * row, row);
}

void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  check_indices(rows, y.dim(0), "scatter_rows");
  zero(y);
  const std::int64_t n = x.dim(0);
  const std::size_t row = static_cast<std::size_t>(y.dim(1)) * size_of(y.dtype);
  const auto* index = rows.as<std::int32_t>();
#pragma omp parallel for schedule(static) if (x.numel() > kParallelValues)
  for (std::int64_t i = 0; i < n; ++i)
    std::memcpy(y.data + static_cast<std::size_t>(index[i]) * row, x.data + static_cast<std::size_t>(i) * row, row);
}

}  // namespace shardlora::cpu
