#include "backend/cpu/matmul.h"

#include <omp.h>

#include <algorithm>
#include <exception>

#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernels.h"
#include "tensor/pages.h"

namespace shardlora::cpu {

namespace {

constexpr std::int64_t kFewestRows = 64, kRowStep = 16, kMostColumns = 2048, kColumns = 1024, kMostGradientRows = 32768,
                       kGradientRows = 2048;

// Every block lays b out anew, as the instructions want it: the faster they are, the more rows it takes to pay for
// that. Where that costs little, blocks are small, so that many threads find work. Measured: docs/measurements.md.
std::int64_t most_rows(DType in) {
  const InstructionSet set = instruction_set();
  if (set == InstructionSet::kAmx && in == DType::kBF16) return 256;
  return set >= InstructionSet::kAvx512 ? 128 : 64;
}

// An even number of blocks, equally tall, so that two threads end together.
std::int64_t rows_of_block(std::int64_t m, DType in) {
  const std::int64_t most = most_rows(in), blocks = 2 * std::max<std::int64_t>((m + 2 * most - 1) / (2 * most), 1);
  const std::int64_t even = (m + blocks - 1) / blocks;
  return (std::clamp(even, kFewestRows, most) + kRowStep - 1) / kRowStep * kRowStep;
}

// How a product is cut: a function of its shape and types alone.
struct Cut {
  BlockShape whole;            // of all of y
  std::int64_t rows, columns;  // of a block; the last ones have the rest
};

Cut cut_of(const Product& p) {
  const bool a_across = p.op_a == Op::kTranspose, b_across = p.op_b == Op::kTranspose;
  const std::int64_t m = p.y.dim(0), n = p.y.dim(1), k = p.a.dim(a_across ? 0 : 1);
  const BlockShape whole{.m = m,
                         .n = n,
                         .k = k,
                         .a_row = a_across ? 1 : k,
                         .a_column = a_across ? m : 1,
                         .b_row = b_across ? 1 : n,
                         .b_column = b_across ? k : 1,
                         .y_row = n,
                         .in = p.a.dtype,
                         .out = p.y.dtype,
                         .accumulate = p.accumulate,
                         .alpha = p.alpha};
  // A weight gradient is one block, but a head's, where y has a row for every token of the vocabulary.
  if (a_across) return {whole, m <= kMostGradientRows ? m : kGradientRows, n};
  return {whole, rows_of_block(m, p.a.dtype), n <= kMostColumns ? n : kColumns};
}

std::size_t offset(std::int64_t values, DType dtype) { return static_cast<std::size_t>(values) * size_of(dtype); }

std::size_t scratch_bytes(const BlockShape& shape) {
  return shape.in == DType::kF16 ? half_scratch_bytes(shape) : block_scratch_bytes(shape);
}

}  // namespace

const BlockProduct& Matmul::product_for(const BlockShape& shape) {
  auto& product = made_[shape];
  if (product == nullptr) product = shape.in == DType::kF16 ? make_half_product(shape) : make_block_product(shape);
  return *product;
}

std::size_t Matmul::of_all_threads(std::size_t thread_scratch) const {
  return thread_scratch * static_cast<std::size_t>(threads_);
}

MatmulPlan Matmul::plan(std::span<const Product> products) {
  MatmulPlan plan;
  for (const Product& p : products) {
    const Cut cut = cut_of(p);
    BlockShape shape = cut.whole;
    for (std::int64_t j = 0; j < cut.whole.n; j += cut.columns)
      for (std::int64_t i = 0; i < cut.whole.m; i += cut.rows) {
        shape.m = std::min(cut.rows, cut.whole.m - i);
        shape.n = std::min(cut.columns, cut.whole.n - j);
        const BlockProduct& product = product_for(shape);
        plan.blocks.push_back({&product, p.y.data + offset(i * cut.whole.n + j, p.y.dtype),
                               p.a.data + offset(i * shape.a_row, p.a.dtype),
                               p.b.data + offset(j * shape.b_column, p.b.dtype)});
        plan.thread_scratch = std::max(plan.thread_scratch, whole_pages(product.scratch_bytes()));
      }
  }
  plan.scratch_bytes = of_all_threads(plan.thread_scratch);
  return plan;
}

std::size_t Matmul::most_scratch_bytes(const Product& p, std::int64_t grain) const {
  const Cut cut = cut_of(p);
  std::size_t most = 0;
  const auto see = [&](BlockShape shape) { most = std::max(most, whole_pages(scratch_bytes(shape))); };
  BlockShape shape = cut.whole;
  // Widths and, of a head's gradient, heights that are left over have a shape of their own.
  for (const std::int64_t n : {std::min(cut.whole.n, cut.columns), cut.whole.n % cut.columns}) {
    if (n == 0) continue;
    shape.n = n;
    if (p.op_a == Op::kTranspose) {
      for (const std::int64_t m : {std::min(cut.whole.m, cut.rows), cut.whole.m % cut.rows}) {
        if (m == 0) continue;
        shape.m = m;
        for (shape.k = cut.whole.k; shape.k > 0; shape.k -= grain) see(shape);
      }
    } else {
      // Fewer rows may be cut into taller blocks.
      for (shape.m = std::min(cut.whole.m, most_rows(p.a.dtype)); shape.m > 0; shape.m -= grain) see(shape);
    }
  }
  return of_all_threads(most);
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
