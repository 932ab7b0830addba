// The attention kernels, emulated, against the naive formulas: what the tests of the op over all backends leave out,
// the tiles of tensor cores and the head sizes between their instances.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "backend/attention_rounding.h"
#include "backend/cuda/kernels.h"
#include "backend/float_type.h"
#include "emulation/runtime.h"

namespace shardlora {
namespace {

using Bytes = std::vector<std::byte>;

// Device memory and a stream. What a kernel leaves out is NaN.
class Card {
 public:
  Card() { EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess); }
  ~Card() {
    cudaStreamSynchronize(stream_);
    for (void* each : owned_) cudaFree(each);
    cudaStreamDestroy(stream_);
  }
  Tensor tensor(DType dtype, Shape shape) {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, static_cast<std::size_t>(shape.numel()) * size_of(dtype)), cudaSuccess);
    owned_.push_back(data);
    const Tensor tensor{static_cast<std::byte*>(data), dtype, shape};
    EXPECT_EQ(cudaMemsetAsync(data, 0xff, tensor.bytes(), stream_), cudaSuccess);
    return tensor;
  }
  // As the dtype rounds them.
  Tensor tensor(DType dtype, Shape shape, const Doubles& values) {
    const Tensor to = tensor(dtype, shape);
    Bytes bytes(to.bytes());
    with_float_type(dtype, [&]<typename T>(std::type_identity<T>) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        const T value = from_float<T>(static_cast<float>(values[i]));
        std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value);
      }
    });
    write(to, bytes.data());
    return to;
  }
  Tensor ints(const std::vector<std::int32_t>& values) {
    const Tensor to = tensor(DType::kI32, {static_cast<std::int64_t>(values.size())});
    write(to, values.data());
    return to;
  }
  Bytes bytes(ConstTensor from) {
    Bytes bytes(from.bytes());
    EXPECT_EQ(cudaMemcpyAsync(bytes.data(), from.data, bytes.size(), cudaMemcpyDefault, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess) << emulation::failure();
    return bytes;
  }
  Doubles values(ConstTensor from) {
    const Bytes raw = bytes(from);
    Doubles values(static_cast<std::size_t>(from.numel()));
    with_float_type(from.dtype, [&]<typename T>(std::type_identity<T>) {
      for (std::size_t i = 0; i < values.size(); ++i) {
        T value;
        std::memcpy(&value, raw.data() + i * sizeof value, sizeof value);
        values[i] = static_cast<double>(to_float(value));
      }
    });
    return values;
  }
  cudaStream_t stream() const { return stream_; }

 private:
  void write(Tensor to, const void* from) {
    EXPECT_EQ(cudaMemcpyAsync(to.data, from, to.bytes(), cudaMemcpyDefault, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  }
  cudaStream_t stream_ = nullptr;
  std::vector<void*> owned_;
};

struct Attended {
  Attended(Card& card, DType dtype, naive::AttentionShape shape)
      : s(std::move(shape)),
        bounds(card.ints(s.bounds)),
        q(random(card, dtype, s.heads, 1, 2.0)),
        k(random(card, dtype, s.groups, 2, 2.0)),
        v(random(card, dtype, s.groups, 3, 1.0)),
        d_o(random(card, dtype, s.heads, 4, 1.0)),
        o(card.tensor(dtype, q.shape)),
        dq(card.tensor(dtype, q.shape)),
        dk(card.tensor(dtype, k.shape)),
        dv(card.tensor(dtype, k.shape)),
        lse(card.tensor(DType::kF32, {s.heads, s.n()})),
        delta(card.tensor(DType::kF32, {s.heads, s.n()})) {}
  Tensor random(Card& card, DType dtype, std::int64_t heads, std::uint32_t seed, double size) const {
    return card.tensor(dtype, {s.n(), heads, s.d}, random_values(s.n() * heads * s.d, seed, size));
  }
  void both_ways(Card& card) const {
    const auto scale = static_cast<float>(s.scale);
    cuda::attention(o, lse, q, k, v, bounds, scale, card.stream());
    cuda::attention_backward(dq, dk, dv, delta, d_o, o, lse, q, k, v, bounds, scale, card.stream());
  }

  naive::AttentionShape s;
  Tensor bounds, q, k, v, d_o, o, dq, dk, dv, lse, delta;
};

// The last rounding, those of p or ds (their sums of magnitudes in `inner`; f16's subnormals are 2^-24 apart), and a
// random walk of f32 roundings over the d * length products behind a value.
double off(const Doubles& got, const Doubles& want, const Doubles& inner, DType dtype, const naive::AttentionShape& s) {
  double largest = 0, length = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 1; i < s.bounds.size(); ++i)
    length = std::max(length, static_cast<double>(s.bounds[i] - s.bounds[i - 1]));
  // What cancels to nothing (dp - delta of a sample of one token) came from values of the order of 1.
  const double walk = 0x1p-24 * std::sqrt(static_cast<double>(s.d) * length) * std::max(largest, 1.0);
  const double small = dtype == DType::kF16 ? 0x1p-25 * 2.0 * static_cast<double>(s.heads) * length : 0.0;
  return worst(got, want, [&](std::size_t i) {
    return rounding(dtype, want[i]) + (dtype == DType::kF32 ? 0.0 : roundoff(dtype) * inner[i]) + walk + small;
  });
}

std::vector<std::int32_t> samples_of(const std::vector<std::int32_t>& lengths) {
  std::vector<std::int32_t> bounds{0};
  for (const std::int32_t length : lengths) bounds.push_back(bounds.back() + length);
  return bounds;
}

using Parameters = std::tuple<DType, int, int, int, std::vector<std::int32_t>>;  // heads, groups, d, lengths

class AttentionKernels : public testing::TestWithParam<Parameters> {
 protected:
  naive::AttentionShape shape() const {
    const auto& [dtype, heads, groups, d, lengths] = GetParam();
    return {samples_of(lengths), heads, groups, d, static_cast<double>(static_cast<float>(1.0 / std::sqrt(d)))};
  }
  DType dtype() const { return std::get<0>(GetParam()); }
  Card card_;
};

TEST_P(AttentionKernels, ComputeTheFormulasInsideEverySample) {
  const Attended run(card_, dtype(), shape());
  run.both_ways(card_);
  const Doubles q = card_.values(run.q), k = card_.values(run.k), v = card_.values(run.v), o = card_.values(run.o),
                d_o = card_.values(run.d_o);
  const auto want = naive::attention(q, k, v, run.s);
  const auto gradients = naive::attention_backward(d_o, o, q, k, v, run.s);
  const auto inner = naive::attention_rounding(d_o, o, q, k, v, run.s);
  EXPECT_LE(off(o, want.o, inner.o, dtype(), run.s), 1.0);
  EXPECT_LE(off(card_.values(run.lse), want.lse, {}, DType::kF32, run.s), 1.0);
  EXPECT_LE(off(card_.values(run.dq), gradients.dq, inner.dq, dtype(), run.s), 1.0);
  EXPECT_LE(off(card_.values(run.dk), gradients.dk, inner.dk, dtype(), run.s), 1.0);
  EXPECT_LE(off(card_.values(run.dv), gradients.dv, inner.dv, dtype(), run.s), 1.0);
}

// kMeeting: tiles that end one row before and behind what a warp sees.
const std::vector<std::int32_t> kAroundTiles = {1, 63, 64, 65, 1, 2}, kShort = {3, 1, 5, 7, 0, 11, 16, 17, 2, 40},
                                kMeeting = {2, 63, 62, 3, 130, 2, 40}, kLong = {200};

std::string name_of_case(const testing::TestParamInfo<Parameters>& info) {
  const auto& [dtype, heads, groups, d, lengths] = info.param;
  return fmt::format("{}_H{}_G{}_D{}_N{}", name_of(dtype), heads, groups, d,
                     std::accumulate(lengths.begin(), lengths.end(), 0));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionKernels,
    testing::Values(Parameters{DType::kBF16, 2, 1, 64, kAroundTiles}, Parameters{DType::kBF16, 1, 1, 64, kMeeting},
                    Parameters{DType::kF16, 4, 1, 64, kShort}, Parameters{DType::kBF16, 8, 1, 16, kShort},
                    Parameters{DType::kF16, 1, 1, 40, kAroundTiles}, Parameters{DType::kF16, 2, 2, 96, kLong},
                    Parameters{DType::kBF16, 2, 1, 96, kShort}, Parameters{DType::kBF16, 2, 1, 128, kAroundTiles},
                    Parameters{DType::kF16, 2, 1, 128, kLong}, Parameters{DType::kBF16, 2, 1, 256, kShort},
                    Parameters{DType::kF16, 1, 1, 256, kAroundTiles}, Parameters{DType::kBF16, 1, 1, 200, kShort},
                    Parameters{DType::kF32, 4, 2, 64, kAroundTiles}, Parameters{DType::kF32, 8, 1, 16, kShort},
                    Parameters{DType::kF32, 2, 1, 96, kLong}, Parameters{DType::kF32, 2, 1, 128, kShort},
                    Parameters{DType::kF32, 2, 1, 256, kShort}, Parameters{DType::kF32, 1, 1, 40, kAroundTiles},
                    Parameters{DType::kF32, 1, 1, 8, {1}}),
    name_of_case);

TEST(AttentionKernelsBits, DoNotDependOnTheOrderOfThreadsAndBlocks) {
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    std::vector<Bytes> first;
    for (const unsigned long long seed : {1, 2, 3}) {
      emulation::set_seed(seed);
      Card card;
      const Attended run(card, dtype, {samples_of({30, 1, 70}), 4, 2, 40, 0.2});
      run.both_ways(card);
      std::vector<Bytes> all;
      for (const Tensor& each : {run.o, run.lse, run.dq, run.dk, run.dv}) all.push_back(card.bytes(each));
      if (first.empty()) first = all;
      EXPECT_EQ(all, first) << name_of(dtype) << ", seed " << seed;
    }
  }
  emulation::set_seed(1);
}

// The last row of every sample from the cache of the rows before it, and that row in the cache afterwards.
TEST(AttentionDecodeKernel, ContinuesWhatTheFilledCacheBegan) {
  for (const auto& [dtype, heads, groups, d] :
       {std::tuple{DType::kBF16, 8, 1, 128}, std::tuple{DType::kF16, 6, 2, 40}, std::tuple{DType::kF32, 7, 1, 256},
        std::tuple{DType::kF32, 2, 2, 64}, std::tuple{DType::kBF16, 2, 1, 96}}) {
    Card card;
    const std::vector<std::int32_t> lengths = {1, 5, 70, 33};
    const auto samples = static_cast<std::int64_t>(lengths.size());
    const Attended run(card, dtype, {samples_of(lengths), heads, groups, d, 0.125});
    const std::int64_t capacity = 72;
    const auto last_rows = [&](const Doubles& x) {
      Doubles rows;
      const std::size_t width = x.size() / static_cast<std::size_t>(run.s.n());
      for (std::size_t i = 0; i < lengths.size(); ++i) {
        const auto end = static_cast<std::size_t>(run.s.bounds[i + 1]) * width;
        rows.insert(rows.end(), x.begin() + static_cast<std::ptrdiff_t>(end - width),
                    x.begin() + static_cast<std::ptrdiff_t>(end));
      }
      return rows;
    };
    const Doubles q = card.values(run.q), k = card.values(run.k), v = card.values(run.v);
    const KvCache cache{card.tensor(dtype, {samples, capacity, groups, d}),
                        card.tensor(dtype, {samples, capacity, groups, d})};
    cuda::fill_cache(cache, run.k, run.v, run.bounds, card.stream());
    const Bytes filled_k = card.bytes(cache.k), filled_v = card.bytes(cache.v);
    // The place of the new token must come from k and v.
    const auto row_bytes = static_cast<std::size_t>(groups * d) * size_of(dtype);
    std::vector<std::int32_t> before;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      before.push_back(lengths[i] - 1);
      const std::size_t at = (i * static_cast<std::size_t>(capacity) + static_cast<std::size_t>(before[i])) * row_bytes;
      for (const Tensor& each : {cache.k, cache.v}) cudaMemsetAsync(each.data + at, 0xff, row_bytes, card.stream());
    }
    const Tensor o = card.tensor(dtype, {samples, heads, d});
    cuda::attention_decode(o, cache, card.tensor(dtype, {samples, heads, d}, last_rows(q)),
                           card.tensor(dtype, {samples, groups, d}, last_rows(k)),
                           card.tensor(dtype, {samples, groups, d}, last_rows(v)), card.ints(before), 0.125F,
                           card.stream());
    const Doubles want = last_rows(naive::attention(q, k, v, run.s).o);
    EXPECT_LE(off(card.values(o), want, Doubles(want.size()), dtype, run.s), 1.0) << name_of(dtype) << " " << d;
    EXPECT_EQ(card.bytes(cache.k), filled_k);
    EXPECT_EQ(card.bytes(cache.v), filled_v);
    for (std::size_t i = 0; i < lengths.size(); ++i)  // the rows that fill_cache had to write
      EXPECT_EQ(std::memcmp(filled_k.data() + i * static_cast<std::size_t>(capacity) * row_bytes,
                            card.bytes(run.k).data() + static_cast<std::size_t>(run.s.bounds[i]) * row_bytes,
                            static_cast<std::size_t>(lengths[i]) * row_bytes),
                0);
  }
}

TEST(AttentionDecodeKernel, StopsWhereTheCacheIsFull) {
  Card card;
  const Tensor x = card.tensor(DType::kF32, {1, 1, 8}, Doubles(8)), o = card.tensor(DType::kF32, {1, 1, 8});
  const KvCache cache{card.tensor(DType::kF32, {1, 4, 1, 8}), card.tensor(DType::kF32, {1, 4, 1, 8})};
  cuda::attention_decode(o, cache, x, x, x, card.ints({4}), 1.0F, card.stream());
  EXPECT_NE(cudaStreamSynchronize(card.stream()), cudaSuccess);
  emulation::reset();
}

}  // namespace
}  // namespace shardlora
