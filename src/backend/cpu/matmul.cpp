#include "backend/cpu/matmul.h"

#include <omp.h>

#include <algorithm>
#include <exception>

#include "backend/cpu/kernels.h"

namespace shardlora::cpu {

namespace {

// A block of y: tall enough to pay for repacking b, small enough that its operands stay in the cache.
constexpr std::int64_t kFewestRows = 64, kMostRows = 256, kRowStep = 16, kMostColumns = 2048, kColumns = 1024,
                       kMostGradientRows = 32768;
constexpr std::size_t kScratchAlignment = 4096;

// Two blocks for every thread, where the matrix is large enough.
std::int64_t rows_of_block(std::int64_t m, int threads) {
  const std::int64_t even = (m + 2 * threads - 1) / (2 * threads);
  return (std::clamp(even, kFewestRows, kMostRows) + kRowStep - 1) / kRowStep * kRowStep;
}

}  // namespace

std::size_t Matmul::Hash::operator()(const BlockShape& s) const {
  std::size_t hash = static_cast<std::size_t>(s.in) * 16 + static_cast<std::size_t>(s.out) * 4 +
                     static_cast<std::size_t>(s.accumulate);
  for (const std::int64_t v : {s.m, s.n, s.k, s.a_row, s.b_row, s.y_row})
    hash = (hash ^ static_cast<std::size_t>(v)) * 0x9E3779B97F4A7C15U;
  return hash;
}

const BlockProduct& Matmul::product_for(const BlockShape& shape) {
  auto& product = made_[shape];
  if (product == nullptr) product = shape.in == DType::kF16 ? make_half_product(shape) : make_block_product(shape);
  return *product;
}

void Matmul::cut(MatmulPlan& plan, const Product& p) {
  const bool a_across = p.op_a == Op::kTranspose, b_across = p.op_b == Op::kTranspose;
  const std::int64_t m = p.y.dim(0), n = p.y.dim(1), k = p.a.dim(a_across ? 0 : 1);
  BlockShape shape{.m = m,
                   .n = n,
                   .k = k,
                   .a_row = a_across ? 1 : k,
                   .a_column = a_across ? m : 1,
                   .b_row = b_across ? 1 : n,
                   .b_column = b_across ? k : 1,
                   .y_row = n,
                   .in = p.a.dtype,
                   .out = p.y.dtype,
                   .accumulate = p.accumulate};
  const std::int64_t columns = a_across || n <= kMostColumns ? n : kColumns,
                     column_blocks = (n + columns - 1) / columns;
  // Of a head's gradient, where y has a row for every token of the vocabulary, the shape alone cuts the rows too. So it
  // does where columns are cut: oneDNN sums few rows of a strided y in another order than many.
  const std::int64_t rows = !a_across                ? (column_blocks > 1 ? kMostRows : rows_of_block(m, threads_))
                            : m <= kMostGradientRows ? m
                                                     : kMostColumns;
  const auto offset = [](std::int64_t values, DType dtype) {
    return static_cast<std::size_t>(values) * size_of(dtype);
  };
  for (std::int64_t j = 0; j < n; j += columns)
    for (std::int64_t i = 0; i < m; i += rows) {
      shape.m = std::min(rows, m - i);
      shape.n = std::min(columns, n - j);
      const BlockProduct& product = product_for(shape);
      plan.blocks.push_back({&product, p.y.data + offset(i * n + j, p.y.dtype),
                             p.a.data + offset(i * shape.a_row, p.a.dtype),
                             p.b.data + offset(j * shape.b_column, p.b.dtype)});
      plan.thread_scratch = std::max(plan.thread_scratch, product.scratch_bytes());
    }
}

MatmulPlan Matmul::plan(std::span<const Product> products) {
  MatmulPlan plan;
  for (const Product& product : products)
    if (product.y.numel() > 0) cut(plan, product);
  plan.thread_scratch = (plan.thread_scratch + kScratchAlignment - 1) / kScratchAlignment * kScratchAlignment;
  plan.scratch_bytes = plan.thread_scratch * static_cast<std::size_t>(threads_);
  return plan;
}

void Matmul::run(const MatmulPlan& plan, std::byte* scratch) const {
  const auto count = static_cast<std::int64_t>(plan.blocks.size());
  const int team = static_cast<int>(std::min<std::int64_t>({count, threads_, omp_get_max_threads()}));
  std::exception_ptr failure;  // must not leave the parallel region
#pragma omp parallel num_threads(std::max(team, 1)) if (team > 1)
  {
    omp_set_num_threads(1);  // of this thread, inside this region: a block is one thread's
    std::byte* own = scratch + plan.thread_scratch * static_cast<std::size_t>(omp_get_thread_num());
#pragma omp for schedule(dynamic, 1)
    for (std::int64_t i = 0; i < count; ++i) {
      const MatmulPlan::Block& block = plan.blocks[static_cast<std::size_t>(i)];
      try {
        block.product->run(block.y, block.a, block.b, own);
      } catch (...) {
#pragma omp critical
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace shardlora::cpu
