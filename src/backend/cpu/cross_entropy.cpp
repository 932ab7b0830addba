// Softmax cross-entropy of a chunk of logits, and the greedy choice. Per row, with m the largest logit and
// z = sum e^(x - m): loss = m + log z - x[target], dlogits = (e^(x - m) / z - [target]) * gradient_scale. Over slices
// of the vocabulary, z counts from the largest logit so far and shrinks when that grows.
#include <cmath>
#include <limits>

#include "backend/cpu/kernels.h"
#include "backend/fast_math.h"
#include "backend/float_type.h"

namespace shardlora::cpu {

namespace {

// Ours begins with -inf; that of OpenMP may begin with the least finite value, and does in clang.
#pragma omp declare reduction(larger:float : omp_out = omp_in > omp_out ? omp_in : omp_out) \
    initializer(omp_priv = omp_orig)
float largest(const float* row, std::int64_t n) {
  float most = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(larger : most)
  for (std::int64_t i = 0; i < n; ++i) most = row[i] > most ? row[i] : most;
  return most;
}

// Partial sums of 256 in f32, their sum in double: the error does not grow with the vocabulary.
double sum_of_exp(const float* row, std::int64_t n, float most) {
  constexpr std::int64_t kPart = 256;
  double total = 0.0;
  for (std::int64_t begin = 0; begin < n; begin += kPart) {
    const std::int64_t end = std::min(n, begin + kPart);
    float part = 0.0F;
#pragma omp simd reduction(+ : part)
    for (std::int64_t i = begin; i < end; ++i) part += fast_exp(row[i] - most);
    total += static_cast<double>(part);
  }
  return total;
}

template <typename T>
void write_gradient(T* d, const float* row, std::int64_t n, float most, float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) d[i] = from_float<T>(fast_exp(row[i] - most) * factor);
}

void check_targets(ConstTensor targets, std::int64_t vocabulary) {
  const auto* target = targets.as<std::int32_t>();
  bool inside = true;
  for (std::int64_t i = 0; i < targets.numel(); ++i) inside = inside && 0 <= target[i] && target[i] < vocabulary;
  CHECK(inside, "cross_entropy: a target is outside [0, {})", vocabulary);
}

float target_gradient(float at_target, float most, float total, float gradient_scale) {
  return (fast_exp(at_target - most) * (1.0F / total) - 1.0F) * gradient_scale;
}

// What the slices of a vocabulary know of a row of logits.
struct RowState {
  float most = -std::numeric_limits<float>::infinity(), sum = 0.0F, at_target = 0.0F;

  void add(const float* row, std::int64_t n) {
    const float here = largest(row, n), larger = here > most ? here : most;
    const float from = std::isinf(larger) && larger < 0 ? 0.0F : larger;  // nothing but -inf so far
    sum = sum * fast_exp(most - from) + static_cast<float>(sum_of_exp(row, n, from));
    most = larger;
  }
};

}  // namespace

void cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets, TableSlice slice) {
  const std::int64_t rows = logits.dim(0), width = logits.dim(1), end = slice.first + width;
  check_targets(targets, slice.vocab);
  const auto* target = targets.as<std::int32_t>();
  const float* x = logits.as<float>();
  float *loss = losses.as<float>(), *kept = state.as<float>();
#pragma omp parallel for schedule(static) if (rows * width > kParallelValues)
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* row = x + i * width;
    float* own = kept + i * 3;
    RowState s;
    if (slice.first > 0) s = {own[0], own[1], own[2]};
    s.add(row, width);
    if (slice.first <= target[i] && target[i] < end) s.at_target = row[target[i] - slice.first];
    own[0] = s.most, own[1] = s.sum, own[2] = s.at_target;
    if (end == slice.vocab)
      loss[i] = static_cast<float>(static_cast<double>(s.most) - static_cast<double>(s.at_target) +
                                   std::log(static_cast<double>(s.sum)));
  }
}

void cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                  TableSlice slice, float gradient_scale) {
  const std::int64_t rows = logits.dim(0), width = logits.dim(1);
  const auto* target = targets.as<std::int32_t>();
  const float *x = logits.as<float>(), *kept = state.as<float>();
  with_float_type(dlogits.dtype, [&]<typename T>(std::type_identity<T>) {
    T* gradient = dlogits.as<T>();
#pragma omp parallel for schedule(static) if (rows * width > kParallelValues)
    for (std::int64_t i = 0; i < rows; ++i) {
      const RowState s{kept[i * 3], kept[i * 3 + 1], kept[i * 3 + 2]};
      T* d = gradient + i * width;
      write_gradient(d, x + i * width, width, s.most, gradient_scale / s.sum);
      if (const std::int64_t t = target[i] - slice.first; 0 <= t && t < width)
        d[t] = from_float<T>(target_gradient(s.at_target, s.most, s.sum, gradient_scale));
    }
  });
}

void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets, float gradient_scale) {
  const std::int64_t rows = logits.dim(0), vocabulary = logits.dim(1);
  check_targets(targets, vocabulary);
  const float* x = logits.as<float>();
  const auto* target = targets.as<std::int32_t>();
  float* loss = losses.as<float>();
  with_float_type(dlogits ? dlogits.dtype : DType::kF32, [&]<typename T>(std::type_identity<T>) {
    T* gradient = dlogits ? dlogits.as<T>() : nullptr;
#pragma omp parallel for schedule(static) if (rows * vocabulary > kParallelValues)
    for (std::int64_t i = 0; i < rows; ++i) {
      const float* row = x + i * vocabulary;
      const float most = largest(row, vocabulary);
      const float at_target = row[target[i]];
      const double total = sum_of_exp(row, vocabulary, most);
      loss[i] = static_cast<float>(static_cast<double>(most) - static_cast<double>(at_target) + std::log(total));
      if (gradient == nullptr) continue;
      T* d = gradient + i * vocabulary;
      const auto factor = static_cast<float>(static_cast<double>(gradient_scale) / total);
      write_gradient(d, row, vocabulary, most, factor);
      d[target[i]] = from_float<T>(target_gradient(at_target, most, static_cast<float>(total), gradient_scale));
    }
  });
}

void argmax(Tensor ids, ConstTensor logits) {
  const std::int64_t rows = logits.dim(0), vocabulary = logits.dim(1);
  const float* x = logits.as<float>();
  auto* id = ids.as<std::int32_t>();
#pragma omp parallel for schedule(static) if (rows * vocabulary > kParallelValues)
  for (std::int64_t i = 0; i < rows; ++i) {
    const float* row = x + i * vocabulary;
    const float most = largest(row, vocabulary);
    std::int64_t first = 0;
    while (first < vocabulary && row[first] != most) ++first;
    id[i] = static_cast<std::int32_t>(first < vocabulary ? first : 0);  // nothing but NaN: 0
  }
}

}  // namespace shardlora::cpu
