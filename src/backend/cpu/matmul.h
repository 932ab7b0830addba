// Matrix products on all threads. Each is cut into blocks of y that one thread makes alone, so a sum is never split,
// and its order cannot follow the number of threads. Cutting y by rows leaves every bit as it is (a test holds that),
// as long as its columns are not cut as well; then both are cut by the shape alone. A weight gradient (transposed a) is
// one block: there, cutting rows would change bits. What a block's shape needs (oneDNN: machine code) is made once and
// kept.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend/cpu/block_product.h"

namespace shardlora::cpu {

// y = op(a) op(b) [+ y].
struct Product {
  Tensor y;
  ConstTensor a;
  Op op_a;
  ConstTensor b;
  Op op_b;
  Accumulate accumulate;
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

  // More shapes than are worth keeping: forget them when no plan is left to run.
  bool crowded() const { return made_.size() >= kMostShapes; }
  void forget() { made_.clear(); }

 private:
  static constexpr std::size_t kMostShapes = 1024;
  struct Hash {
    std::size_t operator()(const BlockShape& shape) const;
  };
  void cut(MatmulPlan& plan, const Product& product);
  const BlockProduct& product_for(const BlockShape& shape);

  const int threads_;
  std::unordered_map<BlockShape, std::unique_ptr<BlockProduct>, Hash> made_;
};

}  // namespace shardlora::cpu
