// The few entry points of cuBLASLt that we call, and its values for them (cublasLt.h and cublas_api.h of CUDA 12 and
// 13; both majors agree on all of them). Loaded at run time, so that the program starts where CUDA is not.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace shardlora::cublaslt {

using Handle = void*;
using MatmulDesc = void*;
using MatrixLayout = void*;
using Preference = void*;

struct Algorithm {
  std::uint64_t data[8];
};

struct HeuristicResult {
  Algorithm algorithm;
  std::size_t workspace_bytes;
  int status;
  float waves;
  int reserved[4];
};

inline constexpr int kSuccess = 0;
inline constexpr int kCompute32F = 68;                            // CUBLAS_COMPUTE_32F: no TF32
inline constexpr int kReal32F = 0, kReal16F = 2, kReal16BF = 14;  // cudaDataType
inline constexpr int kTransposeA = 3, kTransposeB = 4;            // of MatmulDesc; int32: 0 as stored, 1 transposed
// Of Preference.
inline constexpr int kMaxWorkspaceBytes = 1;                                              // uint64
inline constexpr int kReductionSchemes = 3;                                               // uint32, a mask
inline constexpr int kAlignmentA = 5, kAlignmentB = 6, kAlignmentC = 7, kAlignmentD = 8;  // uint32, bytes
inline constexpr std::uint32_t kSplitSumsInWorkspace = 2;  // partial sums in f32, added in a fixed order

struct Table {
  int (*create)(Handle*);
  int (*destroy)(Handle);
  std::size_t (*version)();
  int (*desc_create)(MatmulDesc*, int compute_type, int scale_type);
  int (*desc_destroy)(MatmulDesc);
  int (*desc_set)(MatmulDesc, int attribute, const void* value, std::size_t bytes);
  int (*layout_create)(MatrixLayout*, int type, std::uint64_t rows, std::uint64_t columns, std::int64_t leading);
  int (*layout_destroy)(MatrixLayout);
  int (*preference_create)(Preference*);
  int (*preference_destroy)(Preference);
  int (*preference_set)(Preference, int attribute, const void* value, std::size_t bytes);
  int (*heuristic)(Handle, MatmulDesc, MatrixLayout a, MatrixLayout b, MatrixLayout c, MatrixLayout d, Preference,
                   int asked, HeuristicResult* results, int* found);
  int (*matmul)(Handle, MatmulDesc, const void* alpha, const void* a, MatrixLayout, const void* b, MatrixLayout,
                const void* beta, const void* c, MatrixLayout, void* d, MatrixLayout, const Algorithm*, void* workspace,
                std::size_t workspace_bytes, cudaStream_t);
};

// Loaded once. An Error says how to get the library.
const Table& table();

}  // namespace shardlora::cublaslt
