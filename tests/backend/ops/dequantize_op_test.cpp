#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/held.h"
#include "quant/ggml_blocks.h"
#include "quant/nf4.h"
#include "quant/quantize.h"
#include "quant/random_blocks.h"

namespace shardlora {
namespace {

// A quantised tensor in host memory and in that of the device under test.
struct Packed {
  Packed(const Format& format, std::int64_t n) : host{format, {n}, {}}, tensor{format, {n}, {}} {
    std::vector<float> values;
    for (const double value : random_values(n, 1, 0.07)) values.push_back(static_cast<float>(value));
    std::array<std::byte*, kSections> to{};
    const SectionBytes bytes = section_bytes(format, {n});
    for (std::size_t s = 0; s < kSections; ++s) {
      memory[s].resize(bytes[s] / sizeof(float) + 1);
      host.sections[s] = to[s] = reinterpret_cast<std::byte*>(memory[s].data());
    }
    quantize(format, values, to);
    for (std::size_t s = 0; s < kSections; ++s) {
      const Held& section = on_device.emplace_back(DType::kU8, Shape{static_cast<std::int64_t>(bytes[s])});
      section.put({to[s], to[s] + bytes[s]});
      tensor.sections[s] = section.tensor.data;
    }
  }
  std::array<std::vector<float>, kSections> memory;
  std::vector<Held> on_device;
  PackedTensor host, tensor;
};

TEST(Dequantize, GivesTheCodecsBitsRoundedOnce) {
  Device& device = device_under_test();
  for (const bool double_quant : {false, true})
    for (const int block : {32, 64, 256})
      for (const std::int64_t n : {64 * 300, 64 * 300 + 37, 17}) {
        const Packed w({Codec::kNF4, block, double_quant}, n);
        for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
          const Held y(dtype, {n});
          device.ops().dequantize(y, w.tensor);
          const Doubles got = y.values();
          for (std::size_t i = 0; i < got.size(); ++i)
            ASSERT_EQ(static_cast<float>(got[i]), rounded(dtype, nf4_decode(w.host, static_cast<std::int64_t>(i))))
                << name_of(dtype) << " value " << i << " of " << n << ", block " << block;
        }
      }
}

// As bitsandbytes decodes weights that were 16 bits wide: to that dtype, whatever they are computed in.
TEST(Dequantize, RoundsToTheFormatsDtypeBeforeThatOfTheResult) {
  Device& device = device_under_test();
  const std::int64_t n = 64 * 33 + 17;
  for (const bool double_quant : {false, true})
    for (const int block : {2, 64, 256})  // 2: less than a thread's run
      for (const DType between : {DType::kBF16, DType::kF16}) {
        const Packed w({Codec::kNF4, block, double_quant, between}, n);
        PackedTensor unrounded = w.host;
        unrounded.format.rounded_to = DType::kF32;
        for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
          const Held y(dtype, {n});
          device.ops().dequantize(y, w.tensor);
          const Doubles got = y.values();
          for (std::size_t i = 0; i < got.size(); ++i) {
            const float value = nf4_decode(unrounded, static_cast<std::int64_t>(i));
            ASSERT_EQ(static_cast<float>(got[i]), rounded(dtype, rounded(between, value)))
                << name_of(w.host.format) << " to " << name_of(dtype) << ", value " << i;
          }
        }
      }
}

// Of one block, of more values than one thread takes, and of a rest behind what is decoded at once.
TEST(Dequantize, GivesTheBitsOfGgufBlocksRoundedOnce) {
  Device& device = device_under_test();
  EXPECT_EQ(ggml_formats().size(), 10U);
  for (const Format& format : ggml_formats())
    for (const std::int64_t n : {grain_of(format), 256L * 77, 256L * 77 + 5 * grain_of(format)}) {
      const std::vector<std::byte> blocks = random_blocks(format, n, 5);
      const Held held(DType::kU8, {std::ssize(blocks)});
      held.put({blocks.data(), blocks.data() + blocks.size()});
      std::vector<float> expected(static_cast<std::size_t>(n));
      dequantize({format, {n}, {blocks.data()}}, 0, expected);
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        const Held y(dtype, {n});
        device.ops().dequantize(y, {format, {n}, {held.tensor.data}});
        const Doubles got = y.values();
        for (std::size_t i = 0; i < got.size(); ++i)
          ASSERT_EQ(static_cast<float>(got[i]), rounded(dtype, expected[i]))
              << name_of(format) << " to " << name_of(dtype) << ", value " << i << " of " << n;
      }
    }
}

// A block whose scale, or offset, is infinite or not a number, with all bits of it set. Blocks beside it are as
// they were.
TEST(Dequantize, KeepsWhatIsNotFiniteInGgufBlocks) {
  Device& device = device_under_test();
  constexpr std::uint16_t kSpecial[] = {0x7C00, 0xFC00, 0x7FFF, 0xFFFF};
  for (const Format& format : ggml_formats())
    for (const std::uint16_t special : kSpecial) {
      const std::int64_t grain = grain_of(format), n = 16 * grain;
      std::vector<std::byte> blocks = random_blocks(format, n, 6);
      const std::size_t bytes = blocks.size() / 16;
      ggml::with_block(format.codec, [&]<typename Block>(std::type_identity<Block>) {
        std::memcpy(&blocks[3 * bytes + Block::kScaleAt], &special, sizeof special);
        if constexpr (Block::kOffset) std::memcpy(&blocks[7 * bytes + Block::kMinAt], &special, sizeof special);
      });
      const Held held(DType::kU8, {std::ssize(blocks)});
      held.put(blocks);
      std::vector<float> expected(static_cast<std::size_t>(n));
      dequantize({format, {n}, {blocks.data()}}, 0, expected);
      EXPECT_FALSE(std::all_of(expected.begin(), expected.end(), [](float x) { return std::isfinite(x); }));
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        const Held y(dtype, {n});
        device.ops().dequantize(y, {format, {n}, {held.tensor.data}});
        const Doubles got = y.values();
        for (std::size_t i = 0; i < got.size(); ++i)
          ASSERT_TRUE(std::isnan(expected[i]) ? std::isnan(got[i])
                                              : static_cast<float>(got[i]) == rounded(dtype, expected[i]))
              << name_of(format) << " to " << name_of(dtype) << ", value " << i << ": " << got[i] << ", not "
              << expected[i];
      }
    }
}

TEST(Dequantize, RoundsDenseWeights) {
  Device& device = device_under_test();
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const Held f32(DType::kF32, {5, 7}, 1), half(dtype, {5, 7}, 1), y(dtype, {5, 7}), wide(DType::kF32, {5, 7});
    device.ops().dequantize(y, {dense_format(DType::kF32), {5, 7}, {f32.tensor.data}});
    EXPECT_EQ(y.bytes(), half.bytes());
    device.ops().dequantize(wide, {dense_format(dtype), {5, 7}, {half.tensor.data}});
    EXPECT_EQ(wide.values(), half.values());
  }
}

}  // namespace
}  // namespace shardlora
