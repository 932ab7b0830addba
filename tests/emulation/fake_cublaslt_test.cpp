// The stand-in for cuBLASLt gives what its definition says, and refuses what would go wrong on a GPU.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "backend/cuda/cublaslt_table.h"
#include "emulation/runtime.h"
#include "tensor/dtype.h"

namespace {

using namespace shardlora;
using namespace shardlora::cublaslt;

constexpr int kInvalidValue = 7, kNotSupported = 15;

class FakeCublasLt : public ::testing::Test {
 protected:
  template <typename Function>
  void find(Function*& function, const char* name) {
    static void* const library = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << dlerror();
    function = reinterpret_cast<Function*>(dlsym(library, name));
    ASSERT_NE(function, nullptr) << name;
  }
  void SetUp() override {
    find(lt.create, "cublasLtCreate");
    find(lt.destroy, "cublasLtDestroy");
    find(lt.desc_create, "cublasLtMatmulDescCreate");
    find(lt.desc_set, "cublasLtMatmulDescSetAttribute");
    find(lt.desc_destroy, "cublasLtMatmulDescDestroy");
    find(lt.layout_create, "cublasLtMatrixLayoutCreate");
    find(lt.layout_destroy, "cublasLtMatrixLayoutDestroy");
    find(lt.preference_create, "cublasLtMatmulPreferenceCreate");
    find(lt.preference_set, "cublasLtMatmulPreferenceSetAttribute");
    find(lt.preference_destroy, "cublasLtMatmulPreferenceDestroy");
    find(lt.heuristic, "cublasLtMatmulAlgoGetHeuristic");
    find(lt.matmul, "cublasLtMatmul");
    emulation::reset();
    emulation::fail_no_call();
    ASSERT_EQ(lt.create(&handle), kSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    for (void* each : owned) cudaFree(each);
    cudaStreamDestroy(stream);
    lt.destroy(handle);
  }

  template <typename T>
  T* device(const std::vector<T>& values) {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, values.size() * sizeof(T)), cudaSuccess);
    owned.push_back(data);
    EXPECT_EQ(cudaMemcpyAsync(data, values.data(), values.size() * sizeof(T), cudaMemcpyDefault, stream), cudaSuccess);
    return static_cast<T*>(data);
  }

  // A product (m, k) (k, n) with everything that belongs to it.
  void describe(int m, int n, int k, bool across_a, bool across_b, int in, int out, int padding) {
    ASSERT_EQ(lt.desc_create(&desc, kCompute32F, kReal32F), kSuccess);
    const std::int32_t ta = across_a, tb = across_b;
    ASSERT_EQ(lt.desc_set(desc, kTransposeA, &ta, sizeof ta), kSuccess);
    ASSERT_EQ(lt.desc_set(desc, kTransposeB, &tb, sizeof tb), kSuccess);
    const auto layout = [&](MatrixLayout& made, int type, int rows, int columns) {
      ASSERT_EQ(
          lt.layout_create(&made, type, static_cast<unsigned>(rows), static_cast<unsigned>(columns), rows + padding),
          kSuccess);
    };
    layout(a, in, across_a ? k : m, across_a ? m : k);
    layout(b, in, across_b ? n : k, across_b ? k : n);
    layout(d, out, m, n);
    ASSERT_EQ(lt.preference_create(&preference), kSuccess);
    const std::uint64_t workspace = 8192;
    ASSERT_EQ(lt.preference_set(preference, kMaxWorkspaceBytes, &workspace, sizeof workspace), kSuccess);
    const std::uint32_t alignment = 2;
    for (const int each : {kAlignmentA, kAlignmentB, kAlignmentC, kAlignmentD})
      ASSERT_EQ(lt.preference_set(preference, each, &alignment, sizeof alignment), kSuccess);
  }
  void forget() {
    for (void* each : {a, b, d}) EXPECT_EQ(lt.layout_destroy(each), kSuccess);
    EXPECT_EQ(lt.desc_destroy(desc), kSuccess);
    EXPECT_EQ(lt.preference_destroy(preference), kSuccess);
  }
  int choose(HeuristicResult& result) {
    int found = 0;
    return lt.heuristic(handle, desc, a, b, d, d, preference, 1, &result, &found);
  }
  int run(const HeuristicResult& result, float alpha, const void* x, const void* y, float beta, void* z,
          std::size_t workspace_bytes = 8192) {
    if (workspace == nullptr) workspace = device(std::vector<float>(2048));
    return lt.matmul(handle, desc, &alpha, x, a, y, b, &beta, z, d, z, d, &result.algorithm, workspace, workspace_bytes,
                     stream);
  }

  Table lt{};
  void *handle = nullptr, *desc = nullptr, *a = nullptr, *b = nullptr, *d = nullptr, *preference = nullptr;
  void* workspace = nullptr;
  cudaStream_t stream = nullptr;
  std::vector<void*> owned;
};

template <typename T>
std::vector<T> numbers(int n, unsigned seed) {
  std::vector<T> values(static_cast<std::size_t>(n));
  for (auto& each : values) {
    seed = seed * 1664525U + 1013904223U;
    each = from_float<T>(static_cast<float>(seed >> 20) / 2048.0F - 1.0F);
  }
  return values;
}

TEST_F(FakeCublasLt, MultipliesInEveryLayout) {
  constexpr int m = 5, n = 7, k = 33, padding = 3;
  for (const bool across_a : {false, true})
    for (const bool across_b : {false, true})
      for (const float beta : {0.0F, 1.0F}) {
        describe(m, n, k, across_a, across_b, kReal16BF, kReal32F, padding);
        const auto x = numbers<BF16>(2000, 1), y = numbers<BF16>(2000, 2);
        auto z = numbers<float>((m + padding) * n, 3);
        if (beta == 0) z.assign(z.size(), NAN);  // never read
        auto *dx = device(x), *dy = device(y);
        auto* dz = device(z);
        HeuristicResult result{};
        ASSERT_EQ(choose(result), kSuccess);
        ASSERT_EQ(run(result, 0.5F, dx, dy, beta, dz), kSuccess);
        std::vector<float> got(z.size());
        ASSERT_EQ(cudaMemcpyAsync(got.data(), dz, 4 * got.size(), cudaMemcpyDefault, stream), cudaSuccess);
        for (int i = 0; i < m; ++i)
          for (int j = 0; j < n; ++j) {
            double sum = 0;
            for (int l = 0; l < k; ++l) {
              const int at_a = across_a ? i * (k + padding) + l : l * (m + padding) + i;
              const int at_b = across_b ? l * (n + padding) + j : j * (k + padding) + l;
              sum += static_cast<double>(to_float(x[static_cast<std::size_t>(at_a)])) *
                     static_cast<double>(to_float(y[static_cast<std::size_t>(at_b)]));
            }
            const auto at = static_cast<std::size_t>(j * (m + padding) + i);
            const double expected = 0.5 * sum + (beta == 0 ? 0.0 : static_cast<double>(z[at]));
            EXPECT_NEAR(got[at], expected, k * k * 0x1p-24);
          }
        forget();
      }
}

TEST_F(FakeCublasLt, RoundsToTheTypeOfTheResult) {
  for (const int type : {kReal16BF, kReal16F}) {
    describe(1, 1, 2, false, false, type, type, 0);
    const std::uint16_t one = type == kReal16BF ? 0x3F80 : 0x3C00, small = type == kReal16BF ? 0x3B80 : 0x1000;
    auto* x = device(std::vector<std::uint16_t>{one, small});  // 1 and half a unit in the last place: ties to even
    auto *y = device(std::vector<std::uint16_t>{one, one}), *z = device(std::vector<std::uint16_t>{0});
    HeuristicResult result{};
    ASSERT_EQ(choose(result), kSuccess);
    ASSERT_EQ(run(result, 1, x, y, 0, z), kSuccess);
    std::uint16_t got = 0;
    ASSERT_EQ(cudaMemcpyAsync(&got, z, 2, cudaMemcpyDefault, stream), cudaSuccess);
    EXPECT_EQ(got, one);
    forget();
  }
}

TEST_F(FakeCublasLt, RefusesMisuse) {
  describe(4, 4, 4, false, false, kReal32F, kReal32F, 0);
  auto *x = device(numbers<float>(16, 1)), *y = device(numbers<float>(16, 2)), *z = device(numbers<float>(16, 3));
  HeuristicResult result{}, other{};
  ASSERT_EQ(choose(result), kSuccess);
  std::vector<float> host(16);
  EXPECT_EQ(run(result, 1, host.data(), y, 0, z), kInvalidValue);
  EXPECT_EQ(run(result, 1, x, y + 64, 0, z), kInvalidValue);  // behind its allocation
  EXPECT_EQ(run(result, 1, x, y, 0, x), kInvalidValue);       // over an operand
  EXPECT_EQ(run(result, 1, x, y, 0, z, 100), kInvalidValue);  // less workspace than the algorithm takes
  EXPECT_EQ(run(other, 1, x, y, 0, z), kInvalidValue);        // no algorithm
  const std::uint32_t alignment = 16;
  ASSERT_EQ(lt.preference_set(preference, kAlignmentB, &alignment, 4), kSuccess);
  ASSERT_EQ(choose(other), kSuccess);
  auto* longer = device(numbers<float>(20, 2));
  EXPECT_EQ(run(other, 1, x, longer, 0, z), kSuccess);
  EXPECT_EQ(run(other, 1, x, longer + 1, 0, z), kInvalidValue);  // not as aligned as promised
  EXPECT_EQ(lt.preference_set(preference, kAlignmentB, &alignment, 8), kInvalidValue);
  forget();
  describe(4, 4, 8, false, false, kReal32F, kReal32F, 0);
  EXPECT_EQ(run(result, 1, x, y, 0, z), kInvalidValue);  // chosen for another product
  MatrixLayout layout = nullptr;
  EXPECT_EQ(lt.layout_create(&layout, kReal32F, 8, 4, 7), kInvalidValue);
  EXPECT_EQ(lt.layout_create(&layout, 1, 8, 4, 8), kNotSupported);
  EXPECT_EQ(lt.layout_destroy(desc), kInvalidValue);
  std::swap(a, b);
  EXPECT_EQ(choose(result), kInvalidValue);  // shapes that do not fit
  forget();
}

TEST_F(FakeCublasLt, FailsTheCallThatATestNames) {
  emulation::fail_call("cublasLtMatmul", 1, 13);
  describe(1, 1, 1, false, false, kReal32F, kReal32F, 0);
  HeuristicResult result{};
  ASSERT_EQ(choose(result), kSuccess);
  auto *x = device(std::vector<float>{1}), *z = device(std::vector<float>{1});
  EXPECT_EQ(run(result, 1, x, x, 0, z), 13);
  EXPECT_EQ(run(result, 1, x, x, 0, z), kSuccess);
  forget();
}

}  // namespace
