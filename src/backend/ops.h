// The kernels. Every call is submitted to the device's compute stream and returns at once; the views must stay valid
// until it ran. Outputs come first. Values are f32, bf16 or f16 (one dtype a call unless said otherwise), sums are f32.
// All are deterministic: the bits depend on values and shapes only, not on thread count, rank count or timing. Letters:
// N tokens, d width, H query heads, G key/value heads, D head size, V vocabulary, r adapter rank.
#pragma once

#include <cstdint>
#include <span>

#include "base/philox.h"
#include "optim/adamw.h"
#include "quant/format.h"
#include "tensor/micro_batch.h"
#include "tensor/tensor.h"

namespace shardlora {

enum class Op : std::uint8_t { kNone, kTranspose };
enum class Accumulate : std::uint8_t { kNo, kYes };

// dw (m, k) f32 = dy^T x, with dy (N, m) and x (N, k). The leaf gradient of one weight.
struct WeightGradient {
  Tensor dw;
  ConstTensor dy, x;
};

// One token a sample against a cache: generation. Caches are (S, capacity, G, D).
struct KvCache {
  Tensor k, v;
  std::int64_t capacity() const { return k.dim(1); }
};

// Where random values come from. Each is a function of the key, of its row's sample and position, of the place in the
// model and of its column, and of nothing else: the same on any rank, in any wave, when it is computed again.
struct Noise {
  PhiloxKey key;
  ConstTensor samples, positions;  // (N) i32
  std::uint32_t place = 0;         // the module
};

// Which rows of a table of `vocab` rows an operand has: those from `first` on, as many as it has. Calls leave alone
// what belongs to other slices.
struct TableSlice {
  std::int64_t first = 0, vocab = 0;  // vocab 0: the operand is the whole table
};

inline constexpr std::int64_t kMaxHeadSize = 256;  // of attention; a head size D is a multiple of 8

class Ops {
 public:
  virtual ~Ops() = default;

  // Ops may need memory beside their operands. Between these two calls nothing is computed: every call takes what it
  // will need for operands of these shapes, and for all with fewer rows (kRowGrain at a time in weight_gradients), so
  // that a step takes no memory later: OutOfMemory comes here. False where there is nothing to take; use Rehearsal.
  virtual bool begin_rehearsal() = 0;
  virtual void end_rehearsal() = 0;

  // y (m, n) = alpha op(a) op(b), or y += op(a) op(b) with alpha 1: for both at once oneDNN has naive loops only. a, b
  // one dtype; y that dtype or f32.
  virtual void matmul(Tensor y, ConstTensor a, Op op_a, ConstTensor b, Op op_b, Accumulate accumulate,
                      float alpha = 1) = 0;
  // All of them, in parallel over jobs, each in one fixed order of summation whatever the thread count.
  virtual void weight_gradients(std::span<const WeightGradient> jobs) = 0;

  // y = the weight's values, decoded in f32, rounded once to y's dtype.
  virtual void dequantize(Tensor y, const PackedTensor& w) = 0;
  // y = x rounded to y's dtype.
  virtual void cast(Tensor y, ConstTensor x) = 0;
  virtual void zero(Tensor y) = 0;
  // y = a + b; y may be a or b.
  virtual void add(Tensor y, ConstTensor a, ConstTensor b) = 0;
  // y (N, d) += bias (d) f32, in every row.
  virtual void add_bias(Tensor y, ConstTensor bias) = 0;

  // y (N, d) = table[token]. tokens (N) i32, table (V, d) of any float dtype.
  virtual void embed(Tensor y, ConstTensor tokens, ConstTensor table, TableSlice slice = {}) = 0;
  // dtable (V, d) f32 = for every token the sum of its rows of dy (N, d), added in the order of the rows.
  virtual void embed_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy, TableSlice slice = {}) = 0;
  // y (K, d) = x[rows], rows (K) i32.
  virtual void gather_rows(Tensor y, ConstTensor x, ConstTensor rows) = 0;
  // y (N, d) = 0, then y[rows] = x; rows (K) are distinct.
  virtual void scatter_rows(Tensor y, ConstTensor x, ConstTensor rows) = 0;

  // y (N, d) [+]= x / (1 - p) with probability 1 - p, else 0; p, below 1, in steps of 2^-16. y may be x. Of a gradient
  // it is the backward pass.
  virtual void dropout(Tensor y, ConstTensor x, const Noise& noise, float p, Accumulate accumulate) = 0;
  // x (N, d) += alpha / sqrt(L d) u with u uniform in [-1, 1), L the tokens of the row's sample in `bounds` (Jain et
  // al., "NEFTune", 2023).
  virtual void add_noise(Tensor x, const Noise& noise, ConstTensor bounds, float alpha) = 0;

  // inv_rms (N) f32 = 1 / sqrt(mean(x^2) + eps); y (N, d) = round(x * inv_rms) * w with w (d) f32.
  // Rounded to y's dtype before the weight, as Llama does (reference: transformers LlamaRMSNorm).
  virtual void rms_norm(Tensor y, Tensor inv_rms, ConstTensor x, ConstTensor w, float eps) = 0;
  // dx [+]= the gradient of rms_norm with respect to x. Without Accumulate dx may be dy.
  virtual void rms_norm_backward(Tensor dx, ConstTensor dy, ConstTensor x, ConstTensor inv_rms, ConstTensor w,
                                 Accumulate accumulate) = 0;

  // Rotates pairs (k, k + D/2) of every head of x (N, heads, D) by positions[n] * inv_freq[k], in place ("rotate half",
  // transformers' layout). sign +1 forward, -1 backward (the transposed rotation). positions (N) i32, inv_freq (D/2)
  // f32.
  virtual void rope(Tensor x, ConstTensor positions, ConstTensor inv_freq, float sign) = 0;

  // o (N, H, D) = causal softmax(q k^T * scale) v inside each sample of `bounds` ((S + 1) i32); query head h reads
  // key/value head h / (H / G). lse (H, N) f32 = log of the softmax's denominator. No N x N matrix is ever stored.
  virtual void attention(Tensor o, Tensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                         float scale) = 0;
  // delta (H, N) f32 is scratch (rowsum(do * o)).
  virtual void attention_backward(Tensor dq, Tensor dk, Tensor dv, Tensor delta, ConstTensor d_o, ConstTensor o,
                                  ConstTensor lse, ConstTensor q, ConstTensor k, ConstTensor v, ConstTensor bounds,
                                  float scale) = 0;
  // Writes k, v (S, G, D) to the cache at lengths[s], then o (S, H, D) = attention of q over lengths[s] + 1 positions.
  virtual void attention_decode(Tensor o, KvCache cache, ConstTensor q, ConstTensor k, ConstTensor v,
                                ConstTensor lengths, float scale) = 0;
  // Copies the rows of k, v (N, G, D) of every sample to the start of its line of the cache.
  virtual void fill_cache(KvCache cache, ConstTensor k, ConstTensor v, ConstTensor bounds) = 0;

  // y = silu(gate) * up, all (N, ff).
  virtual void swiglu(Tensor y, ConstTensor gate, ConstTensor up) = 0;
  // dgate, dup of swiglu; they may be dy, gate or up themselves (element-wise).
  virtual void swiglu_backward(Tensor dgate, Tensor dup, ConstTensor dy, ConstTensor gate, ConstTensor up) = 0;

  // losses (K) f32 = -log softmax(logits)[target]; dlogits (K, V) = (softmax - onehot) * gradient_scale in its own
  // dtype. logits (K, V) f32. dlogits may be empty: losses only.
  virtual void cross_entropy(Tensor losses, Tensor dlogits, ConstTensor logits, ConstTensor targets,
                             float gradient_scale) = 0;
  // The same over a vocabulary that comes in slices, in order. state (K, 3) f32: of each row the largest logit m so
  // far, the sum of e^(x - m) and the target's logit; the first slice begins it, the last one gives losses. logits (K,
  // v) f32.
  virtual void cross_entropy_slice(Tensor losses, Tensor state, ConstTensor logits, ConstTensor targets,
                                   TableSlice slice) = 0;
  // dlogits (K, v) = (softmax - onehot) * gradient_scale of a slice, from the state that all of them left.
  virtual void cross_entropy_slice_backward(Tensor dlogits, ConstTensor state, ConstTensor logits, ConstTensor targets,
                                            TableSlice slice, float gradient_scale) = 0;
  // ids (K) i32 = the first index of the largest logit of each row. logits (K, V) f32.
  virtual void argmax(Tensor ids, ConstTensor logits) = 0;

  // One AdamW step on f32 masters; the gradient is multiplied by gradient_scale first (clipping). All (n) f32.
  virtual void adamw(Tensor master, Tensor m, Tensor v, ConstTensor gradient, const AdamWStep& step,
                     float gradient_scale) = 0;
  // sums (ceil(n / kElementBlock)) f32: the sum of squares of every block of so many elements of x (n) f32, in the
  // order of optim/sum_of_squares.h.
  virtual void sums_of_squares(Tensor sums, ConstTensor x) = 0;
};

// While one lives, its ops rehearse; false where they have nothing to take.
class Rehearsal {
 public:
  explicit Rehearsal(Ops& ops) : ops_(ops), takes_memory_(ops.begin_rehearsal()) {}
  ~Rehearsal() { ops_.end_rehearsal(); }
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;
  explicit operator bool() const { return takes_memory_; }

 private:
  Ops& ops_;
  const bool takes_memory_;
};

}  // namespace shardlora
