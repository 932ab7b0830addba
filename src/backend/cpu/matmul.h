// Matrix products on all threads. Each is cut into blocks of y that one thread makes alone, so a sum is never split,
// and the cut follows from the product's shape alone: the bits cannot follow the number of threads. They may well
// follow the shape: oneDNN's kernels sum a row in another order where it stands in another place, or among fewer rows.
// What a block's shape needs (oneDNN: machine code) is made once and kept.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/cpu/block_product.h"

namespace shardlora::cpu {

// As Ops::matmul has it.
struct Product {
  Tensor y;
  ConstTensor a;
  Op op_a;
  ConstTensor b;
  Op op_b;
  Accumulate accumulate;
  float alpha = 1;
};

// Products ready to run, as long as the Matmul that planned them does not forget.
struct MatmulPlan {
  struct Block {
    const BlockProduct* product;
    std::byte* y;
    const std::byte *a, *b;
  };
  std::vector<Block> blocks;
  std::size_t thread_scratch = 0;  // bytes
  std::size_t scratch_bytes = 0;   // what `run` takes for all threads
};

class Matmul {
 public:
  // Runs on at most `threads` threads.
  explicit Matmul(int threads) : threads_(threads) {}

  MatmulPlan plan(std::span<const Product> products);
  void run(const MatmulPlan& plan, std::byte* scratch) const;
  // The most that `run` takes for this product and for ones over fewer rows, `grain` fewer at a time. (Not the most
  // rows need the most: oneDNN picks another kernel for few.) Of a weight gradient the rows are what is summed over.
  std::size_t most_scratch_bytes(const Product& product, std::int64_t grain) const;

  // More shapes than are worth keeping: forget them when no plan is left to run.
  bool crowded() const { return made_.size() >= kMostShapes; }
  void forget() { made_.clear(); }

 private:
  static constexpr std::size_t kMostShapes = 1024;
  const BlockProduct& product_for(const BlockShape& shape);
  std::size_t of_all_threads(std::size_t thread_scratch) const;

  const int threads_;
  std::unordered_map<BlockShape, std::unique_ptr<BlockProduct>, BlockShapeHash> made_;
};

}  // namespace shardlora::cpu
