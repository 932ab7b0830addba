// A stand-in for cuBLASLt: d = alpha op(a) op(b) + beta c with its entry points and its meaning (columns one after the
// other, leading dimensions, transposes), sums in f32 in the order of k, later on the stream. What the real library
// refuses, or would silently take wrong, is refused: that algorithm and problem belong together, alignments that were
// promised, the size of the workspace, memory that nobody allocated, a result over its own operands.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "backend/cuda/cublaslt_table.h"
#include "emulation/memory.h"
#include "emulation/mma.h"
#include "emulation/runtime.h"
#include "tensor/dtype.h"

namespace {

using namespace shardlora::cublaslt;

constexpr int kNotInitialized = 1, kInvalidValue = 7, kNotSupported = 15, kFound = 1;
constexpr std::size_t kUsedWorkspace = 4096;  // overwritten by each product, where the caller has so much
constexpr std::uint64_t kOurAlgorithm = 0x5EED'B1A5'1700'0001;

// Handles look like what they are as long as they live.
enum class Kind : std::uint32_t { kHandle = 0xB1A50001, kDesc, kLayout, kPreference };
struct FakeHandle {
  Kind kind = Kind::kHandle;
};
struct FakeDesc {
  Kind kind = Kind::kDesc;
  std::int32_t transpose_a = 0, transpose_b = 0;
};
struct FakeLayout {
  Kind kind = Kind::kLayout;
  int type = 0;
  std::int64_t rows = 0, columns = 0, leading = 0;
};
struct FakePreference {
  Kind kind = Kind::kPreference;
  std::uint64_t workspace = 0;
  std::uint32_t reductions = 7, alignment[4] = {256, 256, 256, 256};  // the real library's defaults
};

template <typename T>
T* as(void* handle, Kind kind) {
  auto* object = static_cast<T*>(handle);
  return object != nullptr && object->kind == kind ? object : nullptr;
}

template <typename T, typename... Values>
int make(void** out, Values... values) {
  if (out == nullptr) return kInvalidValue;
  *out = new T{T{}.kind, values...};
  return kSuccess;
}

template <typename T>
int destroy(void* handle, Kind kind) {
  auto* object = as<T>(handle, kind);
  if (object == nullptr) return kInvalidValue;
  object->kind = Kind{};
  delete object;
  return kSuccess;
}

template <typename T>
int set(T& field, const void* value, std::size_t bytes) {
  if (value == nullptr || bytes != sizeof field) return kInvalidValue;
  std::memcpy(&field, value, bytes);
  return kSuccess;
}

std::size_t bytes_of(int type) { return type == kReal32F ? 4 : 2; }

struct Problem {
  std::int64_t m, n, k;
  int in, out;
  bool across_a, across_b;
};

// What the layouts and the description say together; `status` where they do not fit.
int problem_of(const FakeDesc* desc, const FakeLayout* a, const FakeLayout* b, const FakeLayout* c, const FakeLayout* d,
               Problem& p) {
  if (desc == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr) return kInvalidValue;
  p = {d->rows,
       d->columns,
       desc->transpose_a != 0 ? a->rows : a->columns,
       a->type,
       d->type,
       desc->transpose_a != 0,
       desc->transpose_b != 0};
  const auto fits = [](const FakeLayout* x, std::int64_t rows, std::int64_t columns, bool across) {
    return x->rows == (across ? columns : rows) && x->columns == (across ? rows : columns);
  };
  if (!fits(a, p.m, p.k, p.across_a) || !fits(b, p.k, p.n, p.across_b) || !fits(c, p.m, p.n, false))
    return kInvalidValue;
  if (c->type != d->type || a->type != b->type) return kNotSupported;
  return p.out == kReal32F || p.out == p.in ? kSuccess : kNotSupported;
}

std::vector<std::uint64_t> words_of(const Problem& p) {
  return {kOurAlgorithm, static_cast<std::uint64_t>(p.m), static_cast<std::uint64_t>(p.n),
          static_cast<std::uint64_t>(p.k),
          static_cast<std::uint64_t>(p.in * 64 + p.out * 4 + p.across_a * 2 + p.across_b)};
}

float load(const void* data, std::int64_t i, int type) {
  if (type == kReal32F) return static_cast<const float*>(data)[i];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(data)[i];
  return type == kReal16BF ? shardlora::to_float(shardlora::BF16{bits}) : emulation::half_to_float(bits);
}

void store(void* data, std::int64_t i, int type, float value) {
  if (type == kReal32F)
    static_cast<float*>(data)[i] = value;
  else
    static_cast<std::uint16_t*>(data)[i] =
        type == kReal16BF ? shardlora::to_bf16(value).bits : emulation::float_to_half(value);
}

// The matrix in f32, columns (of op(x)) one after the other.
std::vector<float> unpacked(const void* x, const FakeLayout& layout, bool across) {
  const std::int64_t rows = across ? layout.columns : layout.rows, columns = across ? layout.rows : layout.columns;
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  for (std::int64_t j = 0; j < layout.columns; ++j)
    for (std::int64_t i = 0; i < layout.rows; ++i)
      values[static_cast<std::size_t>(across ? i * rows + j : j * rows + i)] =
          load(x, j * layout.leading + i, layout.type);
  return values;
}

void multiply(const Problem& p, float alpha, const void* a, const FakeLayout& la, const void* b, const FakeLayout& lb,
              float beta, const void* c, const FakeLayout& lc, void* d, const FakeLayout& ld) {
  const auto fa = unpacked(a, la, p.across_a), fb = unpacked(b, lb, p.across_b);
  constexpr std::int64_t kColumns = 4;  // at once: a column of a is read once for all of them
  std::vector<float> sums(static_cast<std::size_t>(kColumns * p.m));
  for (std::int64_t first = 0; first < p.n; first += kColumns) {
    const std::int64_t columns = std::min(kColumns, p.n - first);
    std::fill(sums.begin(), sums.end(), 0.0F);
    for (std::int64_t k = 0; k < p.k; ++k) {
      const float* column = fa.data() + k * p.m;
      for (std::int64_t j = 0; j < columns; ++j) {
        const float factor = fb[static_cast<std::size_t>((first + j) * p.k + k)];
        float* to = sums.data() + j * p.m;
        for (std::int64_t i = 0; i < p.m; ++i) to[i] += column[i] * factor;
      }
    }
    for (std::int64_t j = 0; j < columns; ++j)
      for (std::int64_t i = 0; i < p.m; ++i) {
        const float old = beta == 0 ? 0.0F : beta * load(c, (first + j) * lc.leading + i, lc.type);
        store(d, (first + j) * ld.leading + i, ld.type, alpha * sums[static_cast<std::size_t>(j * p.m + i)] + old);
      }
  }
}

// The bytes that a matrix spans.
std::size_t span_of(const FakeLayout& x) {
  return x.rows == 0 || x.columns == 0
             ? 0
             : static_cast<std::size_t>((x.columns - 1) * x.leading + x.rows) * bytes_of(x.type);
}

bool usable(const void* data, const FakeLayout& x, cudaStream_t stream) {
  return emulation::device_of_memory(data) == emulation::device_of(stream) &&
         emulation::range_is_allocated(data, span_of(x)) &&
         reinterpret_cast<std::uintptr_t>(data) % bytes_of(x.type) == 0;
}

bool overlap(const void* a, const FakeLayout& la, const void* b, const FakeLayout& lb) {
  const auto* first = static_cast<const char*>(a);
  const auto* second = static_cast<const char*>(b);
  return first < second + span_of(lb) && second < first + span_of(la);
}

}  // namespace

#define ENTER(name)             \
  emulation::uses_device(name); \
  if (const int status = emulation::injected_error(name); status != 0) return status

extern "C" {

std::size_t cublasLtGetVersion() { return 130000; }

int cublasLtCreate(void** handle) {
  ENTER("cublasLtCreate");
  return make<FakeHandle>(handle);
}
int cublasLtDestroy(void* handle) { return destroy<FakeHandle>(handle, Kind::kHandle); }

int cublasLtMatmulDescCreate(void** desc, int compute, int scale) {
  ENTER("cublasLtMatmulDescCreate");
  if (compute != kCompute32F || scale != kReal32F) return kNotSupported;
  return make<FakeDesc>(desc);
}
int cublasLtMatmulDescDestroy(void* desc) { return destroy<FakeDesc>(desc, Kind::kDesc); }
int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* value, std::size_t bytes) {
  auto* desc = as<FakeDesc>(handle, Kind::kDesc);
  if (desc == nullptr) return kInvalidValue;
  if (attribute != kTransposeA && attribute != kTransposeB) return kNotSupported;
  std::int32_t operation = 0;
  if (const int status = set(operation, value, bytes); status != kSuccess) return status;
  if (operation != 0 && operation != 1) return kInvalidValue;
  (attribute == kTransposeA ? desc->transpose_a : desc->transpose_b) = operation;
  return kSuccess;
}

int cublasLtMatrixLayoutCreate(void** layout, int type, std::uint64_t rows, std::uint64_t columns,
                               std::int64_t leading) {
  ENTER("cublasLtMatrixLayoutCreate");
  if (type != kReal32F && type != kReal16F && type != kReal16BF) return kNotSupported;
  if (leading < static_cast<std::int64_t>(rows)) return kInvalidValue;
  return make<FakeLayout>(layout, type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), leading);
}
int cublasLtMatrixLayoutDestroy(void* layout) { return destroy<FakeLayout>(layout, Kind::kLayout); }
int cublasLtMatrixLayoutSetAttribute(void*, int, const void*, std::size_t) { return kNotSupported; }

int cublasLtMatmulPreferenceCreate(void** preference) { return make<FakePreference>(preference); }
int cublasLtMatmulPreferenceDestroy(void* preference) { return destroy<FakePreference>(preference, Kind::kPreference); }
int cublasLtMatmulPreferenceSetAttribute(void* handle, int attribute, const void* value, std::size_t bytes) {
  auto* preference = as<FakePreference>(handle, Kind::kPreference);
  if (preference == nullptr) return kInvalidValue;
  if (attribute == kMaxWorkspaceBytes) return set(preference->workspace, value, bytes);
  if (attribute == kReductionSchemes) return set(preference->reductions, value, bytes);
  if (attribute >= kAlignmentA && attribute <= kAlignmentD)
    return set(preference->alignment[attribute - kAlignmentA], value, bytes);
  return kNotSupported;
}

int cublasLtMatmulAlgoGetHeuristic(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference,
                                   int asked, HeuristicResult* results, int* found) {
  ENTER("cublasLtMatmulAlgoGetHeuristic");
  if (as<FakeHandle>(handle, Kind::kHandle) == nullptr) return kNotInitialized;
  auto* wish = as<FakePreference>(preference, Kind::kPreference);
  if (wish == nullptr || asked < 1 || results == nullptr || found == nullptr) return kInvalidValue;
  *found = 0;
  Problem p{};
  const int status =
      problem_of(as<FakeDesc>(desc, Kind::kDesc), as<FakeLayout>(a, Kind::kLayout), as<FakeLayout>(b, Kind::kLayout),
                 as<FakeLayout>(c, Kind::kLayout), as<FakeLayout>(d, Kind::kLayout), p);
  if (status != kSuccess) return status;
  HeuristicResult result{};
  const auto words = words_of(p);
  std::ranges::copy(words, result.algorithm.data);
  for (std::size_t i = 0; i < 4; ++i)
    result.algorithm.data[5] |= std::uint64_t{std::min(wish->alignment[i], 256U)} << (16 * i);
  result.workspace_bytes = wish->workspace >= kUsedWorkspace ? kUsedWorkspace : 0;
  result.algorithm.data[6] = result.workspace_bytes;
  result.waves = 1;
  results[0] = result;
  *found = kFound;
  return kSuccess;
}

int cublasLtMatmul(void* handle, void* desc, const void* alpha, const void* a, void* layout_a, const void* b,
                   void* layout_b, const void* beta, const void* c, void* layout_c, void* d, void* layout_d,
                   const Algorithm* algorithm, void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  ENTER("cublasLtMatmul");
  if (as<FakeHandle>(handle, Kind::kHandle) == nullptr) return kNotInitialized;
  const auto *la = as<FakeLayout>(layout_a, Kind::kLayout), *lb = as<FakeLayout>(layout_b, Kind::kLayout),
             *lc = as<FakeLayout>(layout_c, Kind::kLayout), *ld = as<FakeLayout>(layout_d, Kind::kLayout);
  Problem p{};
  if (const int status = problem_of(as<FakeDesc>(desc, Kind::kDesc), la, lb, lc, ld, p); status != kSuccess)
    return status;
  if (alpha == nullptr || beta == nullptr || algorithm == nullptr || emulation::device_of(stream) < 0)
    return kInvalidValue;
  if (int device = -1; cudaGetDevice(&device) != cudaSuccess || device != emulation::device_of(stream))
    return kInvalidValue;  // the handle is one of its thread's device
  const auto words = words_of(p);
  if (!std::equal(words.begin(), words.end(), algorithm->data)) return kInvalidValue;
  const void* operands[4] = {a, b, c, d};
  for (std::size_t i = 0; i < 4; ++i)
    if (reinterpret_cast<std::uintptr_t>(operands[i]) % (algorithm->data[5] >> (16 * i) & 0xFFFFU) != 0)
      return kInvalidValue;
  const auto used = static_cast<std::size_t>(algorithm->data[6]);
  if (workspace_bytes < used) return kInvalidValue;
  float first = 0, second = 0;
  std::memcpy(&first, alpha, sizeof first);
  std::memcpy(&second, beta, sizeof second);
  if (!usable(a, *la, stream) || !usable(b, *lb, stream) || !usable(d, *ld, stream)) return kInvalidValue;
  if (second != 0 && (!usable(c, *lc, stream) || (c == d && lc->leading != ld->leading))) return kInvalidValue;
  if (overlap(d, *ld, a, *la) || overlap(d, *ld, b, *lb)) return kInvalidValue;
  if (p.m == 0 || p.n == 0) return kSuccess;
  emulation::launch(stream, [=, la = *la, lb = *lb, lc = *lc, ld = *ld] {
    if (used > 0) std::memset(emulation::view(workspace), 0xFF, used);
    multiply(p, first, emulation::view(a), la, emulation::view(b), lb, second, emulation::view(c), lc,
             emulation::view(d), ld);
  });
  return kSuccess;
}

}  // extern "C"
