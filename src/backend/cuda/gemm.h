// Matrix products by cuBLASLt. The algorithm follows from the shape alone (the library's first proposal for it), never
// from timing or from where operands happen to lie, and split sums are added in a fixed order: the same product gives
// the same bits on one model of GPU. What a shape needs is made once and kept.
#pragma once

#include <cuda_runtime_api.h>

#include <unordered_map>

#include "backend/cuda/cublaslt_table.h"
#include "backend/device.h"

namespace shardlora::cuda {

class Gemm {
 public:
  // Workspace comes from `device`, once, for products of one stream.
  explicit Gemm(Device& device);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // As Ops::matmul; shapes are checked there.
  void run(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha,
           cudaStream_t stream);

 private:
  struct Shape {
    std::int64_t m, n, k;
    DType in, out;
    bool a_across, b_across, accumulate;
    std::uint32_t alignment;  // of all operands, bytes
    bool operator==(const Shape&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Shape& shape) const;
  };
  struct Plan {
    cublaslt::MatmulDesc desc = nullptr;
    cublaslt::MatrixLayout a = nullptr, b = nullptr, y = nullptr;
    cublaslt::Algorithm algorithm{};
  };
  const Plan& plan_for(const Shape& shape);
  void forget();

  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20, kMostPlans = 4096;
  const cublaslt::Table& library_;
  cublaslt::Handle handle_ = nullptr;
  Buffer workspace_;
  std::unordered_map<Shape, Plan, Hash> plans_;
};

}  // namespace shardlora::cuda
