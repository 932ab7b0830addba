#include "backend/cuda/gemm.h"

#include <algorithm>
#include <bit>

#include "backend/cuda/cuda_error.h"
#include "base/error.h"

namespace shardlora::cuda {

namespace {

using namespace cublaslt;

void require(int status, const char* what) {
  if (status != kSuccess)
    fail("cuBLASLt: {} failed with status {}; run nvidia-smi: the GPU may be out of memory or the driver too old", what,
         status);
}

int type_of(DType dtype) { return dtype == DType::kF32 ? kReal32F : dtype == DType::kBF16 ? kReal16BF : kReal16F; }

// Never more than 16 bytes, all that a tensor core's loads need: the algorithm must not depend on luck.
std::uint32_t alignment_of(const std::byte* data, std::int64_t row_bytes) {
  const auto bits = reinterpret_cast<std::uintptr_t>(data) | static_cast<std::uintptr_t>(row_bytes) | 16U;
  return std::uint32_t{1} << std::countr_zero(bits);
}

std::int64_t row_bytes(ConstTensor t) { return t.dim(1) * static_cast<std::int64_t>(size_of(t.dtype)); }

}  // namespace

Gemm::Gemm(Device& device)
    : library_(table()), workspace_(device.allocate(kWorkspaceBytes, Tier::kDevice, Purpose::kWorkspace)) {
  require(library_.create(&handle_), "starting");
}

Gemm::~Gemm() {
  forget();
  library_.destroy(handle_);
}

std::size_t Gemm::Hash::operator()(const Shape& s) const {
  std::size_t hash = static_cast<std::size_t>(s.in) * 64 + static_cast<std::size_t>(s.out) * 16 + s.a_across * 8U +
                     s.b_across * 4U + s.accumulate * 2U;
  for (const std::int64_t v : {s.m, s.n, s.k, std::int64_t{s.alignment}})
    hash = (hash ^ static_cast<std::size_t>(v)) * 0x9E3779B97F4A7C15U;
  return hash;
}

void Gemm::forget() {
  for (const auto& [shape, plan] : plans_) {
    for (const MatrixLayout layout : {plan.a, plan.b, plan.y})
      if (layout != nullptr) library_.layout_destroy(layout);
    if (plan.desc != nullptr) library_.desc_destroy(plan.desc);
  }
  plans_.clear();
}

// cuBLASLt counts by columns: what we store as y (m, n) by rows it sees as y^T (n, m), and y^T = op(b)^T op(a)^T. So
// our b comes first, each operand keeps its own flag, and a layout is (columns, rows) with the row's length between
// columns.
const Gemm::Plan& Gemm::plan_for(const Shape& s) {
  if (const auto found = plans_.find(s); found != plans_.end()) return found->second;
  if (plans_.size() >= kMostPlans) forget();
  Plan plan;
  require(library_.desc_create(&plan.desc, kCompute32F, kReal32F), "describing a product");
  const std::int32_t first = s.b_across, second = s.a_across;
  require(library_.desc_set(plan.desc, kTransposeA, &first, sizeof first), "describing a product");
  require(library_.desc_set(plan.desc, kTransposeB, &second, sizeof second), "describing a product");
  const auto layout = [&](DType dtype, std::int64_t rows, std::int64_t columns) {
    MatrixLayout made = nullptr;
    require(library_.layout_create(&made, type_of(dtype), static_cast<std::uint64_t>(columns),
                                   static_cast<std::uint64_t>(rows), columns),
            "describing a matrix");
    return made;
  };
  plan.a = s.a_across ? layout(s.in, s.k, s.m) : layout(s.in, s.m, s.k);
  plan.b = s.b_across ? layout(s.in, s.n, s.k) : layout(s.in, s.k, s.n);
  plan.y = layout(s.out, s.m, s.n);

  Preference preference = nullptr;
  require(library_.preference_create(&preference), "choosing an algorithm");
  const std::uint64_t workspace = kWorkspaceBytes;
  require(library_.preference_set(preference, kMaxWorkspaceBytes, &workspace, sizeof workspace), "workspace");
  const std::uint32_t reductions = kSplitSumsInWorkspace;
  require(library_.preference_set(preference, kReductionSchemes, &reductions, sizeof reductions), "order of sums");
  for (const int operand : {kAlignmentA, kAlignmentB, kAlignmentC, kAlignmentD})
    require(library_.preference_set(preference, operand, &s.alignment, sizeof s.alignment), "alignment");
  HeuristicResult result{};
  int found = 0;
  const int status =
      library_.heuristic(handle_, plan.desc, plan.b, plan.a, plan.y, plan.y, preference, 1, &result, &found);
  library_.preference_destroy(preference);
  if (status != kSuccess || found == 0 || result.status != kSuccess)
    fail("cuBLASLt has no algorithm for a product of {} x {} x {} in {} on this GPU (status {})", s.m, s.n, s.k,
         name_of(s.in), status);
  plan.algorithm = result.algorithm;
  return plans_.emplace(s, plan).first->second;
}

void Gemm::run(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate, float alpha,
               cudaStream_t stream) {
  if (y.numel() == 0) return;
  const bool a_across = op_a == Op::kTranspose, b_across = op_b == Op::kTranspose;
  const std::uint32_t alignment = std::min(
      {alignment_of(a.data, row_bytes(a)), alignment_of(b.data, row_bytes(b)), alignment_of(y.data, row_bytes(y))});
  const Plan& plan = plan_for({y.dim(0), y.dim(1), a.dim(a_across ? 0 : 1), a.dtype, y.dtype, a_across, b_across,
                               accumulate == Accumulate::kYes, alignment});
  const float kept = accumulate == Accumulate::kYes ? 1.0F : 0.0F;
  require(library_.matmul(handle_, plan.desc, &alpha, b.data, plan.b, a.data, plan.a, &kept, y.data, plan.y, y.data,
                          plan.y, &plan.algorithm, workspace_.data(), kWorkspaceBytes, stream),
          "a product");
}

}  // namespace shardlora::cuda
