#include "checkpoint/random_base.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/file.h"
#include "checkpoint/error_of.h"
#include "checkpoint/prepared_manifest.h"
#include "checkpoint/tiny_folder.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments_of(const std::vector<float>& values) {
  Moments m;
  for (const float v : values) m.mean += v / static_cast<double>(values.size());
  for (const float v : values) m.deviation += (v - m.mean) * (v - m.mean) / static_cast<double>(values.size());
  m.deviation = std::sqrt(m.deviation);
  return m;
}

class RandomBaseTest : public ::testing::Test {
 protected:
  RandomBaseTest() {
    // Linears of several pieces' chunks, and one that is no whole chunks.
    model_.config.update({{"hidden_size", 256},
                          {"intermediate_size", 4200},
                          {"num_hidden_layers", 7},
                          {"num_attention_heads", 4},
                          {"num_key_value_heads", 2},
                          {"vocab_size", 3000},
                          {"tie_word_embeddings", false}});
    model_.directory.write("config.json", model_.config.dump());
    model_.directory.write("tokenizer.json", "{}");
  }
  fs::path make(const std::string& name, const RandomBase& options) const {
    const fs::path out = out_.path() / name;
    bytes_ = make_random_base(model_.directory.path(), out, options);
    return out;
  }
  static std::string tensors_of(const fs::path& base) { return read_text(base / kTensorsFile, 1 << 26); }

  TinyFolder model_;
  TemporaryDirectory out_;
  mutable std::uint64_t bytes_ = 0;
};

TEST_F(RandomBaseTest, IsABaseWhoseEveryByteIsVouchedFor) {
  const fs::path folder = make("base", {.layers = 3});
  const BaseModel base = BaseModel::open(folder);
  EXPECT_TRUE(base.is_prepared());
  EXPECT_EQ(base.config().layers, 3);
  const proto::PreparedBase manifest = read_manifest(folder / kManifestFile);
  EXPECT_EQ(manifest.bytes(), bytes_);
  EXPECT_EQ(manifest.sha256(), sha256_of_file(folder / kTensorsFile));
  ASSERT_EQ(manifest.files_size(), 2);
  EXPECT_EQ(manifest.files(1).name(), "tokenizer.json");

  const ModelSpec spec(base.config(), rest_as(format_of(manifest.tensors(1).packing()), {.codec = Codec::kBF16}),
                       nullptr);
  base.check(spec);
  std::set<std::string> codes;
  std::size_t linears = 0;
  for (const UnitSpec& unit : spec.units())
    for (const ParamSpec& param : unit.params) {
      std::vector<float> values(static_cast<std::size_t>(param.shape.numel()));
      base.read({param.name}, param, values);  // checks the chunks' checksums
      const Moments m = moments_of(values);
      const bool norm = param.shape.rank() == 1;
      EXPECT_NEAR(m.mean, norm ? 1 : 0, norm ? 0 : 0.002) << param.name;
      EXPECT_NEAR(m.deviation, norm ? 0 : 0.02, norm ? 0 : 0.001) << param.name;
      if (norm || !is_linear(param.name)) continue;
      std::string first(64, '\0');
      base.read_section({param.name}, 0, std::as_writable_bytes(std::span(first)));
      codes.insert(first);
      ++linears;
    }
  EXPECT_EQ(linears, 21U);
  EXPECT_EQ(codes.size(), linears);  // no two tensors begin alike
}

TEST_F(RandomBaseTest, FollowsFromItsSeedAloneWhateverTheThreads) {
  const std::string one = tensors_of(make("one", {.layers = 2}));
  EXPECT_EQ(tensors_of(make("two", {.layers = 2, .threads = 3})), one);
  EXPECT_NE(tensors_of(make("other", {.layers = 2, .seed = 2})), one);
}

TEST_F(RandomBaseTest, NeedsRoomAndAFolderOfItsOwn) {
  out_.write("thesis.txt", "years");
  EXPECT_THAT(error_of([&] { make_random_base(model_.directory.path(), out_.path(), {}); }),
              HasSubstr("there is something already"));
  model_.config["intermediate_size"] = 1 << 24;
  model_.directory.write("config.json", model_.config.dump());
  EXPECT_THAT(error_of([&] { make("large", {.layers = 4000}); }), HasSubstr("GB free"));
  EXPECT_TRUE(fs::is_empty(out_.path() / "large"));
}

}  // namespace
}  // namespace shardlora
