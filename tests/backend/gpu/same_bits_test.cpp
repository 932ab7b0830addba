// What the GPU's kernels promise beyond the op tests: the CPU's very bits where no sum's order is free, whatever the
// sizes and wherever the values lie in memory.
#include <gtest/gtest.h>

#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/held.h"
#include "quant/nf4.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

constexpr DType kFloatDtypes[] = {DType::kF32, DType::kBF16, DType::kF16};

Ops& gpu() { return device_under_test().ops(); }

// The same values in the host's memory and in the device's, there `offset` values behind a multiple of 16 bytes.
struct Twins {
  Twins(DType dtype, Shape shape, std::uint32_t seed, double scale = 1.0, std::int64_t offset = 0)
      : Twins(dtype, shape, random_values(shape.numel(), seed, scale), offset) {}
  Twins(DType dtype, Shape shape, const Doubles& values, std::int64_t offset = 0)
      : held(dtype, {offset + shape.numel()}, shifted(values, offset)), memory(held.bytes()) {
    const std::size_t skipped = static_cast<std::size_t>(offset) * size_of(dtype);
    host = {memory.data() + skipped, dtype, shape};
    device = {held.tensor.data + skipped, dtype, shape};
  }
  static Twins ints(const std::vector<std::int32_t>& values) {
    return {DType::kI32, {std::ssize(values)}, Doubles(values.begin(), values.end())};
  }
  static Doubles shifted(const Doubles& values, std::int64_t offset) {
    Doubles out(static_cast<std::size_t>(offset), 0.5);
    out.insert(out.end(), values.begin(), values.end());
    return out;
  }
  // Values before the tensor count too: nothing may write there.
  bool same() const { return held.bytes() == memory; }

  Held held;
  std::vector<std::byte> memory;
  Tensor host, device;
};

// All combinations of dtype, width of a row and place in memory.
struct Case {
  DType dtype;
  std::int64_t rows, d, offset;
};

class SameBits : public testing::TestWithParam<Case> {
 protected:
  Twins matrix(std::uint32_t seed, double scale = 1.0) const { return of(GetParam().dtype, seed, scale); }
  Twins of(DType dtype, std::uint32_t seed, double scale = 1.0) const {
    return {dtype, {GetParam().rows, GetParam().d}, seed, scale, GetParam().offset};
  }
  Twins floats(std::uint32_t seed) const { return {DType::kF32, {GetParam().d}, seed, 1.0, GetParam().offset}; }
  std::int64_t rows() const { return GetParam().rows; }
  Twins places(std::int32_t modulus) const {
    std::vector<std::int32_t> values;
    for (std::int32_t i = 0; i < rows(); ++i) values.push_back((i * 7 + 3) % modulus);
    return Twins::ints(values);
  }
};

std::vector<Case> cases(std::initializer_list<std::int64_t> offsets) {
  std::vector<Case> out;
  for (const DType dtype : kFloatDtypes)
    for (const std::int64_t offset : offsets)
      for (const auto& [rows, d] : {std::pair{5, 2088}, {37, 64}, {3, 77}, {70, 1}})
        out.push_back({dtype, rows, d, offset});
  return out;
}
std::string name_of_case(const testing::TestParamInfo<Case>& info) {
  return fmt::format("{}_{}x{}_at{}", name_of(info.param.dtype), info.param.rows, info.param.d, info.param.offset);
}
INSTANTIATE_TEST_SUITE_P(Cases, SameBits, testing::ValuesIn(cases({0, 1})), name_of_case);

TEST_P(SameBits, CastAddScaleZeroAndBias) {
  for (const DType from : kFloatDtypes) {
    const Twins x = of(from, 1, 3e5), y = matrix(2);  // beyond the largest F16 too
    cpu::cast(y.host, x.host);
    gpu().cast(y.device, x.device);
    EXPECT_TRUE(y.same()) << "cast from " << name_of(from);
  }
  const Twins a = matrix(1), b = matrix(2), y = matrix(3), bias = floats(4);
  cpu::add(y.host, a.host, b.host);
  gpu().add(y.device, a.device, b.device);
  EXPECT_TRUE(y.same()) << "add";
  cpu::add(b.host, a.host, b.host);
  gpu().add(b.device, a.device, b.device);
  EXPECT_TRUE(b.same()) << "add in place";
  cpu::add_bias(y.host, bias.host);
  gpu().add_bias(y.device, bias.device);
  EXPECT_TRUE(y.same()) << "add_bias";
  cpu::zero(a.host);
  gpu().zero(a.device);
  EXPECT_TRUE(a.same()) << "zero";
}

TEST_P(SameBits, RowsByIndex) {
  const std::int64_t d = GetParam().d;
  const Twins tokens = places(11);
  for (const DType from : kFloatDtypes) {
    const Twins table(from, {11, d}, 1, 1.0, GetParam().offset), y = matrix(2);
    cpu::embed(y.host, tokens.host, table.host);
    gpu().embed(y.device, tokens.device, table.device);
    EXPECT_TRUE(y.same()) << "embed from " << name_of(from);
  }
  const Twins dtable(DType::kF32, {11, d}, 1, 1.0, GetParam().offset), dy = matrix(2);
  cpu::embed_backward(dtable.host, tokens.host, dy.host);
  gpu().embed_backward(dtable.device, tokens.device, dy.device);
  EXPECT_TRUE(dtable.same()) << "embed_backward";

  const Twins distinct = Twins::ints({4, 0, 2});
  const Twins x(GetParam().dtype, {5, d}, 1, 1.0, GetParam().offset),
      y(GetParam().dtype, {3, d}, 2, 1.0, GetParam().offset);
  cpu::gather_rows(y.host, x.host, distinct.host);
  gpu().gather_rows(y.device, x.device, distinct.device);
  EXPECT_TRUE(y.same()) << "gather_rows";
  cpu::scatter_rows(x.host, y.host, distinct.host);
  gpu().scatter_rows(x.device, y.device, distinct.device);
  EXPECT_TRUE(x.same()) << "scatter_rows";
}

TEST_P(SameBits, DropoutAndNoise) {
  const Twins samples = places(5), positions = places(900);
  const Noise on_host{{7, 8}, samples.host, positions.host, 9}, on_device{{7, 8}, samples.device, positions.device, 9};
  for (const Accumulate accumulate : {Accumulate::kNo, Accumulate::kYes}) {
    const Twins x = matrix(1), y = matrix(2);
    cpu::dropout(y.host, x.host, on_host, 0.3F, accumulate);
    gpu().dropout(y.device, x.device, on_device, 0.3F, accumulate);
    EXPECT_TRUE(y.same()) << "dropout";
  }
  const Twins x = matrix(3);
  const auto n = static_cast<std::int32_t>(rows());
  const Twins bounds = Twins::ints({0, 1, n / 2 + 1, n - 1});  // the last row is nobody's
  cpu::add_noise(x.host, on_host, bounds.host, 5.0F);
  gpu().add_noise(x.device, on_device, bounds.device, 5.0F);
  EXPECT_TRUE(x.same()) << "add_noise";
}

TEST_P(SameBits, RopeAndSwiglu) {
  const Twins gate = matrix(1, 30.0), up = matrix(2), dy = matrix(3), y = matrix(4);
  cpu::swiglu(y.host, gate.host, up.host);
  gpu().swiglu(y.device, gate.device, up.device);
  EXPECT_TRUE(y.same()) << "swiglu";
  cpu::swiglu_backward(gate.host, dy.host, dy.host, gate.host, up.host);
  gpu().swiglu_backward(gate.device, dy.device, dy.device, gate.device, up.device);
  EXPECT_TRUE(gate.same() && dy.same()) << "swiglu_backward";

  const std::int64_t half = GetParam().d == 2088 ? 128 : (GetParam().d + 1) / 2, heads = 3;
  const Twins x(GetParam().dtype, {rows(), heads, 2 * half}, 1, 1.0, GetParam().offset);
  Doubles frequencies;
  for (std::int64_t k = 0; k < half; ++k)
    frequencies.push_back(std::pow(500000.0, -static_cast<double>(k) / static_cast<double>(half)));
  const Twins inv_freq(DType::kF32, {half}, frequencies), positions = places(131072);
  for (const float sign : {1.0F, -1.0F}) {
    cpu::rope(x.host, positions.host, inv_freq.host, sign);
    gpu().rope(x.device, positions.device, inv_freq.device, sign);
    EXPECT_TRUE(x.same()) << "rope";
  }
}

// What sums is not the CPU's to the bit, but its own.
using SumsOfTheGpu = SameBits;
INSTANTIATE_TEST_SUITE_P(Cases, SumsOfTheGpu, testing::ValuesIn(cases({1})), name_of_case);

TEST_P(SumsOfTheGpu, AreTheSameWhereverTheValuesLie) {
  const std::int64_t n = rows(), d = GetParam().d;
  const auto at = [&](std::int64_t offset) {
    const auto twins = [&](DType dtype, Shape shape, std::uint32_t seed) {
      return Twins(dtype, shape, seed, 1.0, offset);
    };
    const auto own = GetParam().dtype;
    const Twins x = twins(own, {n, d}, 1), y = twins(own, {n, d}, 2), dy = twins(own, {n, d}, 3);
    const Twins w = twins(DType::kF32, {d}, 4), inv_rms = twins(DType::kF32, {n}, 5),
                losses = twins(DType::kF32, {n}, 5);
    const Twins logits = twins(DType::kF32, {n, d}, 6), long_line = twins(DType::kF32, {9000}, 7),
                sums = twins(DType::kF32, {3}, 8),
                targets = Twins::ints(std::vector<std::int32_t>(static_cast<std::size_t>(n)));
    std::vector<std::vector<std::byte>> results;
    const auto keep = [&](const Twins& t) {
      const std::vector<std::byte> bytes = t.held.bytes();
      results.emplace_back(bytes.begin() + (t.device.data - t.held.tensor.data), bytes.end());
    };
    gpu().rms_norm(y.device, inv_rms.device, x.device, w.device, 1e-5F);
    keep(y);
    keep(inv_rms);
    gpu().rms_norm_backward(y.device, dy.device, x.device, inv_rms.device, w.device, Accumulate::kYes);
    keep(y);
    gpu().cross_entropy(losses.device, y.device, logits.device, targets.device, 0.25F);
    keep(y);
    keep(losses);
    gpu().sums_of_squares(sums.device, long_line.device);
    keep(sums);
    return results;
  };
  EXPECT_EQ(at(GetParam().offset), at(0));
}

TEST(SameBitsOfAdamW, AtEverySize) {
  const AdamWStep step = adamw_step({.weight_decay = 0.1}, 3e-4, 7);
  for (const std::int64_t n : {1, 1023, 5000})
    for (const std::int64_t offset : {0, 1}) {
      Doubles gradients = random_values(n, 4, 0.1), squares = random_values(n, 3, 1e-3),
              means = random_values(n, 2, 0.01);
      for (double& square : squares) square = std::abs(square);
      // Nothing yet; squares that are denormal, that vanish, that pass the range.
      constexpr double kAwkward[] = {0.0, -0.0, 3e-21, 1e-30, -1e-41, 5e19, 3e38};
      for (std::size_t i = 0; i < std::min(std::size(kAwkward), gradients.size()); ++i)
        gradients[i] = kAwkward[i], squares[i] = means[i] = 0.0;
      const Twins master(DType::kF32, {n}, 1, 1.0, offset), m(DType::kF32, {n}, means, offset),
          g(DType::kF32, {n}, gradients, offset), v(DType::kF32, {n}, squares, offset);
      cpu::adamw(master.host, m.host, v.host, g.host, step, 0.37F);
      gpu().adamw(master.device, m.device, v.device, g.device, step, 0.37F);
      EXPECT_TRUE(master.same() && m.same() && v.same()) << n;
    }
}

TEST(SameBitsOfSumsOfSquares, AtEverySizeAndPlace) {
  for (const std::int64_t n : {1, 4095, 4096, 12289, 40000})
    for (const std::int64_t offset : {0, 1, 2}) {
      Doubles values = random_values(n, 5);
      const Doubles exponents = random_values(n, 6, 20.0);
      for (std::size_t i = 0; i < values.size(); ++i) values[i] *= std::exp2(exponents[i]);
      const Twins x(DType::kF32, {n}, values, offset), sums(DType::kF32, {(n + 4095) / 4096}, 7, 1.0, offset);
      cpu::sums_of_squares(sums.host, x.host);
      gpu().sums_of_squares(sums.device, x.device);
      EXPECT_TRUE(sums.same()) << n << " values at place " << offset;
    }
}

TEST(SameBitsOfArgmax, TakesTheFirstOfEqualLogitsAndNaNNever) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kLow = -std::numeric_limits<double>::infinity();
  for (const std::int64_t vocabulary : {1, 3, 2000}) {
    Doubles logits = random_values(6 * vocabulary, 1);
    const auto at = [&](std::int64_t row, std::int64_t k) -> double& {
      return logits[static_cast<std::size_t>(row * vocabulary + k)];
    };
    at(1, vocabulary / 2) = at(1, vocabulary - 1) = 4;
    at(2, 0) = at(2, vocabulary - 1) = 4;
    for (std::int64_t k = 0; k < vocabulary; ++k)
      at(3, k) = kNaN, at(4, k) = kLow, at(5, k) = k == vocabulary - 1 ? kLow : kNaN;
    const Twins x(DType::kF32, {6, vocabulary}, logits), ids = Twins::ints(std::vector<std::int32_t>(6, 7));
    cpu::argmax(ids.host, x.host);
    gpu().argmax(ids.device, x.device);
    EXPECT_TRUE(ids.same()) << vocabulary;
  }
}

}  // namespace
}  // namespace shardlora
