// One matrix product on one thread: the part of a product that is not cut further. Made by oneDNN (onednn_product.cpp),
// or by plain loops where every instruction has to be seen by ThreadSanitizer (plain_product.cpp; CMake picks one).
// Both take f32 and bf16; f16 goes through f32 (half_product.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/ops.h"

namespace shardlora::cpu {

// y (m, n) = a (m, k) b (k, n) [+ y]; the value (i, j) of a lies at i * a_row + j * a_column, and so on; y has unit
// columns.
struct BlockShape {
  std::int64_t m, n, k;
  std::int64_t a_row, a_column, b_row, b_column, y_row;
  DType in, out;
  Accumulate accumulate;
  bool operator==(const BlockShape&) const = default;
};

class BlockProduct {
 public:
  virtual ~BlockProduct() = default;
  // Bytes that `run` needs beside its operands.
  virtual std::size_t scratch_bytes() const = 0;
  // Any number of threads at a time, each with its own scratch.
  virtual void run(std::byte* y, const std::byte* a, const std::byte* b, std::byte* scratch) const = 0;
};

std::unique_ptr<BlockProduct> make_block_product(const BlockShape& shape);
// Of f16.
std::unique_ptr<BlockProduct> make_half_product(const BlockShape& shape);

}  // namespace shardlora::cpu
