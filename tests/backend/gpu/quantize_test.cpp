// NF4 on the device: the host's bytes, both ways.
#include <gtest/gtest.h>

#include "backend/cpu/kernels.h"
#include "backend/cuda/cuda_stream.h"
#include "backend/cuda/kernels.h"
#include "backend/held.h"
#include "quant/nf4.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

constexpr DType kFloats[] = {DType::kF32, DType::kBF16, DType::kF16};

cudaStream_t stream() { return dynamic_cast<CudaStream&>(device_under_test().compute()).native(); }

// Weights as they are, and blocks that need care: zeros, one value alone, values in the middle of two levels, where a
// quotient and a product with the reciprocal differ.
Doubles weights(std::int64_t n, std::int64_t block) {
  Doubles values = random_values(n, 1, 0.07);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t b = i / block, at = i % block;
    double& value = values[static_cast<std::size_t>(i)];
    if (b % 7 == 1 || (b % 7 == 2 && at != 1)) value = 0;
    if (b % 3 != 0) continue;
    const auto level = static_cast<std::uint8_t>(at % (kNf4Levels - 1));
    const float middle = (nf4_value(level) + nf4_value(static_cast<std::uint8_t>(level + 1))) / 2.0F;
    const float largest = 0.05F + 0.01F * static_cast<float>(b % 13);
    value = static_cast<double>(at == 1 ? -largest : middle * largest);
  }
  return values;
}

class Nf4OnTheDevice : public testing::TestWithParam<Format> {
 protected:
  // Sections of the format in device memory.
  struct Packed {
    Packed(const Format& format, std::int64_t n) {
      const SectionBytes bytes = section_bytes(format, {n});
      for (std::size_t s = 0; s < kSections; ++s) {
        held.emplace_back(DType::kU8, Shape{static_cast<std::int64_t>(bytes[s])});
        to[s] = held[s].tensor.data;
      }
    }
    PackedTensor tensor(const Format& format, std::int64_t n) const {
      PackedTensor packed{format, {n}, {}};
      for (std::size_t s = 0; s < kSections; ++s) packed.sections[s] = to[s];
      return packed;
    }
    std::vector<Held> held;
    Sections to{};
  };
  static std::vector<float> floats(const Held& held) {
    std::vector<float> out;
    for (const double value : held.values()) out.push_back(static_cast<float>(value));
    return out;
  }
};

std::vector<Format> formats() {
  std::vector<Format> out;
  for (const bool nested : {false, true})
    for (const int block : {2, 6, 8, 32, 64, 256, 4096}) out.push_back({Codec::kNF4, block, nested});
  return out;
}
INSTANTIATE_TEST_SUITE_P(Formats, Nf4OnTheDevice, testing::ValuesIn(formats()), [](const auto& info) {
  return fmt::format("block{}{}", info.param.block, info.param.double_quant ? "nested" : "");
});

TEST_P(Nf4OnTheDevice, HasTheHostsBytesAndValues) {
  const Format format = GetParam();
  const std::int64_t whole = std::min(300 * format.block, 64 * 300);  // more blocks than a nested group has
  for (const DType dtype : kFloats)
    for (const std::int64_t n : {std::int64_t{1}, std::int64_t{17}, whole, whole + 37}) {
      const Held values(dtype, {n}, weights(n, format.block)), absmax(DType::kF32, {scales_of(format, n)});
      const Packed packed(format, n);
      cuda::quantize(format, packed.to, values, absmax, stream());

      std::array<std::vector<std::byte>, kSections> want;
      Sections to{};
      const SectionBytes bytes = section_bytes(format, {n});
      for (std::size_t s = 0; s < kSections; ++s) {
        want[s].resize(bytes[s]);
        to[s] = want[s].data();
      }
      quantize(format, floats(values), to);
      for (std::size_t s = 0; s < kSections; ++s)
        ASSERT_EQ(packed.held[s].bytes(), want[s]) << "section " << s << " of " << n;

      PackedTensor on_host{format, {n}, {}};
      for (std::size_t s = 0; s < kSections; ++s) on_host.sections[s] = to[s];
      for (const std::int64_t offset : {0, 1}) {
        const Held y(dtype, {n + offset});
        const Tensor shifted{y.tensor.data + static_cast<std::size_t>(offset) * size_of(dtype), dtype, {n}};
        device_under_test().ops().dequantize(shifted, packed.tensor(format, n));
        std::vector<std::byte> decoded(shifted.bytes()), got = y.bytes();
        cpu::dequantize({decoded.data(), dtype, {n}}, on_host);
        got.erase(got.begin(), got.end() - std::ssize(decoded));
        ASSERT_EQ(got, decoded) << n << " values of " << name_of(dtype);
      }
    }
}

}  // namespace
}  // namespace shardlora
