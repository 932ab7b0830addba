// Parity with the gguf package on the blocks of scripts/goldens/ggml_blocks.py.
#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "quant/codec.h"
#include "quant/read_values.h"

namespace shardlora {
namespace {

TEST(GgufBlocks, DecodeToTheBitsOfTheGgufPackage) {
  std::ifstream in(TEST_DATA "/quant/ggml.bin", std::ios::binary);
  std::set<std::string> types;
  int records = 0;
  for (; in.peek() != std::char_traits<char>::eof(); ++records) {
    const auto letters = read_values<char>(in, read_values<std::uint32_t>(in, 1)[0]);
    const std::string name(letters.begin(), letters.end()), type = name.substr(0, name.find(' '));
    const auto sizes = read_values<std::uint32_t>(in, 2);
    const auto blocks = read_values<std::byte>(in, sizes[1]);
    const auto values = read_values<float>(in, sizes[0]);
    ASSERT_TRUE(in.good()) << "ggml.bin is cut short";
    const CodecRow* row = find_codec(type);
    ASSERT_NE(row, nullptr) << type;
    types.insert(type);
    const Shape shape{std::ssize(values)};
    ASSERT_EQ(section_bytes({.codec = row->codec}, shape)[0], blocks.size()) << name;
    std::vector<float> decoded(values.size());
    dequantize({{.codec = row->codec}, shape, {blocks.data()}}, 0, decoded);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(decoded[i]), std::bit_cast<std::uint32_t>(values[i]))
          << name << ", value " << i << ": " << decoded[i] << " and " << values[i];
  }
  EXPECT_EQ(records, 40);
  EXPECT_EQ(types.size(), 10U);
}

}  // namespace
}  // namespace shardlora
