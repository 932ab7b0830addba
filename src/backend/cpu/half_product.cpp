// Products of f16 matrices: oneDNN has none for most CPUs. The operands are widened, which is exact, multiplied in f32
// and rounded once. The conversions make it slower than f32: a CPU computes in f16 to prove the arithmetic that GPUs
// without bf16 train with, not to save time.
#include "backend/cpu/block_product.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {

// Columns of y at a time, so that wide copies stay small. A cut by the shape alone.
constexpr std::int64_t kColumns = 512;

// A matrix that is dense along one of its two directions: `lines` of `length` neighbouring values.
struct Lines {
  std::int64_t lines, length, stride;  // stride: from line to line, in values
  // Of a wide copy; the next one starts where a register may be loaded from.
  std::size_t bytes() const { return (static_cast<std::size_t>(lines * length) * sizeof(float) + 63) / 64 * 64; }
};

Lines lines_of(std::int64_t rows, std::int64_t columns, std::int64_t row_stride, std::int64_t column_stride) {
  if (column_stride == 1) return {rows, columns, row_stride};
  return {columns, rows, column_stride};
}

template <typename T>
void widen(float* to, const T* from, const Lines& m) {
  for (std::int64_t i = 0; i < m.lines; ++i)
#pragma omp simd
    for (std::int64_t k = 0; k < m.length; ++k) to[i * m.length + k] = to_float(from[i * m.stride + k]);
}

template <typename T>
void round(T* to, const float* from, const Lines& m) {
  for (std::int64_t i = 0; i < m.lines; ++i)
#pragma omp simd
    for (std::int64_t k = 0; k < m.length; ++k) to[i * m.stride + k] = from_float<T>(from[i * m.length + k]);
}

// The product of f32 copies that stand close together, and of `columns` of what s says.
BlockShape wide_shape(const BlockShape& s, std::int64_t columns) {
  BlockShape wide = s;
  wide.n = wide.y_row = columns;
  wide.in = wide.out = DType::kF32;
  wide.a_row = s.a_column == 1 ? s.k : 1;
  wide.a_column = s.a_column == 1 ? 1 : s.m;
  wide.b_row = s.b_column == 1 ? columns : 1;
  wide.b_column = s.b_column == 1 ? 1 : s.k;
  return wide;
}

Lines lines_of_a(const BlockShape& s) { return lines_of(s.m, s.k, s.a_row, s.a_column); }
std::int64_t full_columns(const BlockShape& s) { return std::min(s.n, kColumns); }
std::int64_t rest_columns(const BlockShape& s) { return s.n % kColumns == 0 ? full_columns(s) : s.n % kColumns; }

// Beside the copy of a.
std::size_t scratch_of_columns(const BlockShape& s, std::int64_t columns, std::size_t of_product) {
  return lines_of(s.k, columns, s.b_row, s.b_column).bytes() + Lines{s.m, columns, s.y_row}.bytes() + of_product;
}

// y and b are columns of what the shape says.
class Columns {
 public:
  Columns(const BlockShape& s, std::int64_t columns)
      : b_(lines_of(s.k, columns, s.b_row, s.b_column)),
        y_{s.m, columns, s.y_row},
        out_(s.out),
        accumulate_(s.accumulate),
        product_(make_block_product(wide_shape(s, columns))),
        scratch_bytes_(scratch_of_columns(s, columns, product_->scratch_bytes())) {}

  std::size_t scratch_bytes() const { return scratch_bytes_; }

  void run(std::byte* y, const std::byte* wide_a, const std::byte* b, std::byte* scratch) const {
    auto *const wide_b = reinterpret_cast<float*>(scratch), *const sums =
                                                                reinterpret_cast<float*>(scratch + b_.bytes());
    std::byte* const rest = scratch + b_.bytes() + y_.bytes();
    widen(wide_b, reinterpret_cast<const F16*>(b), b_);
    with_float_type(out_, [&]<typename T>(std::type_identity<T>) {
      if (accumulate_ == Accumulate::kYes) widen(sums, reinterpret_cast<const T*>(y), y_);
      product_->run(reinterpret_cast<std::byte*>(sums), wide_a, reinterpret_cast<const std::byte*>(wide_b), rest);
      round(reinterpret_cast<T*>(y), sums, y_);
    });
  }

 private:
  const Lines b_, y_;
  const DType out_;
  const Accumulate accumulate_;
  const std::unique_ptr<BlockProduct> product_;
  const std::size_t scratch_bytes_;
};

class HalfProduct final : public BlockProduct {
 public:
  explicit HalfProduct(const BlockShape& s)
      : s_(s), a_(lines_of_a(s)), full_(s, full_columns(s)), rest_(s, rest_columns(s)) {}

  std::size_t scratch_bytes() const override {
    return a_.bytes() + std::max(full_.scratch_bytes(), rest_.scratch_bytes());
  }

  void run(std::byte* y, const std::byte* a, const std::byte* b, std::byte* scratch) const override {
    auto* const wide_a = reinterpret_cast<float*>(scratch);
    widen(wide_a, reinterpret_cast<const F16*>(a), a_);
    for (std::int64_t begin = 0; begin < s_.n; begin += kColumns) {
      const Columns& columns = s_.n - begin >= kColumns ? full_ : rest_;
      columns.run(y + static_cast<std::size_t>(begin) * size_of(s_.out), reinterpret_cast<const std::byte*>(wide_a),
                  b + static_cast<std::size_t>(begin * s_.b_column) * sizeof(F16), scratch + a_.bytes());
    }
  }

 private:
  const BlockShape s_;
  const Lines a_;
  const Columns full_, rest_;
};

}  // namespace

std::unique_ptr<BlockProduct> make_half_product(const BlockShape& shape) {
  return std::make_unique<HalfProduct>(shape);
}

std::size_t half_scratch_bytes(const BlockShape& s) {
  const auto of = [&](std::int64_t columns) {
    return scratch_of_columns(s, columns, block_scratch_bytes(wide_shape(s, columns)));
  };
  return lines_of_a(s).bytes() + std::max(of(full_columns(s)), of(rest_columns(s)));
}

}  // namespace shardlora::cpu
