// Rotary frequencies from config.json against transformers' ROPE_INIT_FUNCTIONS (scripts/goldens/architectures.py).
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

#include "base/file.h"
#include "checkpoint/folder_config.h"
#include "io/json.h"

namespace shardlora {
namespace {

TEST(Rope, HasTheFrequenciesOfTransformersForEveryScaling) {
  const std::string path = std::string(TEST_DATA) + "/architectures/rope.json";
  const nlohmann::json cases = parse_json(read_text(path, 1 << 20), path);
  ASSERT_EQ(cases.size(), 8U);
  for (const nlohmann::json& c : cases) {
    const ModelConfig config = config_of(c["config"], c["config"].dump(), true);
    const std::vector<float> frequencies = rope_frequencies(config.rope, config.head_dim);
    ASSERT_EQ(frequencies.size(), c["inverse_frequencies"].size());
    for (std::size_t k = 0; k < frequencies.size(); ++k) {
      const double expected = c["inverse_frequencies"][k].get<double>();
      // A power and a few products in f32, each with an error of up to an ulp.
      EXPECT_NEAR(frequencies[k], expected, 6 * 6e-8 * expected) << c["config"].dump() << " pair " << k;
    }
    EXPECT_NEAR(rope_attention_factor(config.rope), c["attention_factor"].get<double>(), 1e-12) << c["config"].dump();
  }
}

}  // namespace
}  // namespace shardlora
