// Rows found by index: embed, gather_rows, scatter_rows. An index outside its table stops the kernel.
#include "backend/cuda/kernels.h"
#include "backend/cuda/vector.h"
#include "backend/float_type.h"

namespace shardlora::cuda {

namespace {

template <typename To, typename From>
__global__ void embed_kernel(To* y, const std::int32_t* tokens, const From* table, TableSlice slice, std::int64_t rows,
                             std::int64_t d, unsigned parts, bool vectors) {
  constexpr int kRun = kWidth<To, From>;
  const RowPlace place(parts, kRun);
  const std::int64_t token = tokens[place.row], row = token - slice.first, k = place.column;
  device_check(0 <= token && token < slice.vocab);
  if (k >= d || row < 0 || row >= rows) return;
  float values[kRun];
  load(values, table + row * d + k, d - k, vectors);
  store(y + place.row * d + k, values, d - k, vectors);
}

// Rows of `d` words, moved as they are: row rows[i] of `from` to row i, or row i to row rows[i] (scatter).
template <typename Word, bool kScatter>
__global__ void move_rows_kernel(Word* to, const Word* from, const std::int32_t* rows, std::int64_t limit,
                                 std::int64_t d, unsigned parts) {
  const RowPlace place(parts, 1);
  const std::int64_t row = rows[place.row], k = place.column;
  device_check(0 <= row && row < limit);
  if (k >= d) return;
  if constexpr (kScatter)
    to[row * d + k] = from[place.row * d + k];
  else
    to[place.row * d + k] = from[row * d + k];
}

template <typename Word, bool kScatter>
void move_words(Tensor to, ConstTensor from, ConstTensor rows, cudaStream_t stream) {
  const auto row_bytes = static_cast<std::int64_t>(size_of(to.dtype)) * to.dim(1);
  const std::int64_t d = row_bytes / static_cast<std::int64_t>(sizeof(Word));
  const RowGrid grid(rows.numel(), d, 1);
  launch(move_rows_kernel<Word, kScatter>, grid.blocks, grid.threads, 0, stream, reinterpret_cast<Word*>(to.data),
         reinterpret_cast<const Word*>(from.data), rows.as<std::int32_t>(), kScatter ? to.dim(0) : from.dim(0), d,
         grid.parts);
}

template <bool kScatter>
void move_rows(Tensor to, ConstTensor from, ConstTensor rows, cudaStream_t stream) {
  const std::size_t row_bytes = size_of(to.dtype) * static_cast<std::size_t>(to.dim(1));
  if (row_bytes % 16 == 0 && aligned(to.data, from.data))
    move_words<uint4, kScatter>(to, from, rows, stream);
  else if (size_of(to.dtype) == 4)
    move_words<std::uint32_t, kScatter>(to, from, rows, stream);
  else
    move_words<std::uint16_t, kScatter>(to, from, rows, stream);
}

}  // namespace

void embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice, cudaStream_t stream) {
  if (slice.vocab == 0) slice.vocab = table.dim(0);
  with_float_type(y.dtype, [&]<typename To>(std::type_identity<To>) {
    with_float_type(table.dtype, [&]<typename From>(std::type_identity<From>) {
      const std::int64_t d = y.dim(1);
      const RowGrid grid(y.dim(0), d, kWidth<To, From>);
      launch(embed_kernel<To, From>, grid.blocks, grid.threads, 0, stream, y.as<To>(), tokens.as<std::int32_t>(),
             table.as<From>(), slice, table.dim(0), d, grid.parts,
             aligned(y.data, table.data) && d % kWidth<To, From> == 0);
    });
  });
}

void gather_rows(Tensor y, ConstTensor x, ConstTensor rows, cudaStream_t stream) {
  move_rows<false>(y, x, rows, stream);
}

void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows, cudaStream_t stream) {
  zero(y, stream);
  move_rows<true>(y, x, rows, stream);
}

}  // namespace shardlora::cuda
