#include "backend/cuda/cublaslt_table.h"

#include <cuda_runtime_api.h>

#include "backend/cuda/shared_library.h"

namespace shardlora::cublaslt {

namespace {

Table load() {
  const bool twelve = CUDART_VERSION < 13000;  // the one that goes with the program's CUDA first
  const SharedLibrary library(
      "SHARDLORA_CUBLASLT_LIBRARY",
      {twelve ? "libcublasLt.so.12" : "libcublasLt.so.13", twelve ? "libcublasLt.so.13" : "libcublasLt.so.12"},
      "CUDA's matrix library cuBLASLt is missing: install the CUDA toolkit, or unpack the "
      "nvidia-cublas Python package and name its libcublasLt.so in SHARDLORA_CUBLASLT_LIBRARY");
  Table t{};
  library.find(t.create, "cublasLtCreate");
  library.find(t.destroy, "cublasLtDestroy");
  library.find(t.version, "cublasLtGetVersion");
  library.find(t.desc_create, "cublasLtMatmulDescCreate");
  library.find(t.desc_destroy, "cublasLtMatmulDescDestroy");
  library.find(t.desc_set, "cublasLtMatmulDescSetAttribute");
  library.find(t.layout_create, "cublasLtMatrixLayoutCreate");
  library.find(t.layout_destroy, "cublasLtMatrixLayoutDestroy");
  library.find(t.preference_create, "cublasLtMatmulPreferenceCreate");
  library.find(t.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  library.find(t.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  library.find(t.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  library.find(t.matmul, "cublasLtMatmul");
  return t;
}

}  // namespace

const Table& table() {
  static const Table loaded = load();
  return loaded;
}

}  // namespace shardlora::cublaslt
