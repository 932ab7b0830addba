// One matrix product on one thread: the part of a product that is not cut further. Made by oneDNN (onednn_product.cpp),
// or by plain loops where every instruction has to be seen by ThreadSanitizer (plain_product.cpp; CMake picks one).
// Both take f32 and bf16; f16 goes through f32 (half_product.cpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/ops.h"

namespace shardlora::cpu {

// y (m, n) = alpha a (m, k) b (k, n), or y += a b with alpha 1; the value (i, j) of a lies at i * a_row + j * a_column,
// and so on; y has unit columns.
struct BlockShape {
  std::int64_t m, n, k;
  std::int64_t a_row, a_column, b_row, b_column, y_row;
  DType in, out;
  Accumulate accumulate;
  float alpha = 1;
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
// What its scratch_bytes() would be, without making it: some 20 us where it has to be found out, then remembered.
std::size_t block_scratch_bytes(const BlockShape& shape);
// Of f16.
std::unique_ptr<BlockProduct> make_half_product(const BlockShape& shape);
std::size_t half_scratch_bytes(const BlockShape& shape);

// "oneDNN 2.6.3": who sums, for people who compare bits.
std::string product_library();

struct BlockShapeHash {
  std::size_t operator()(const BlockShape& s) const {
    std::size_t hash = static_cast<std::size_t>(s.in) * 16 + static_cast<std::size_t>(s.out) * 4 +
                       static_cast<std::size_t>(s.accumulate) + (s.alpha != 1 ? 2 : 0);
    for (const std::int64_t v : {s.m, s.n, s.k, s.a_row, s.b_row, s.y_row})
      hash = (hash ^ static_cast<std::size_t>(v)) * 0x9E3779B97F4A7C15U;
    return hash;
  }
};

}  // namespace shardlora::cpu
