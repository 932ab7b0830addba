#include "checkpoint/random_base.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/file.h"
#include "checkpoint/error_of.h"
#include "checkpoint/prepared_manifest.h"
#include "checkpoint/tiny_folder.h"
#include "param/layout.h"

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
  std::size_t pieces = 0;
  for (const UnitSpec& unit : spec.units())
    for (const ParamSpec& param : unit.params) {
      std::vector<float> values(static_cast<std::size_t>(param.shape.numel()));
      base.read({param.name}, param, values);  // checks the chunks' checksums
      const Moments m = moments_of(values);
      const bool norm = param.shape.rank() == 1;
      EXPECT_NEAR(m.mean, norm ? 1 : 0, norm ? 0 : 0.002) << param.name;
      EXPECT_NEAR(m.deviation, norm ? 0 : 0.02, norm ? 0 : 0.001) << param.name;
      if (norm || !is_linear(param.name)) continue;
      std::string all(section_bytes(param.format, param.shape)[0], '\0');
      base.read_section({param.name}, 0, std::as_writable_bytes(std::span(all)));
      for (std::size_t at = 0; at + 64 <= all.size(); at += 1024, ++pieces) codes.insert(all.substr(at, 64));
    }
  EXPECT_GT(pieces, 1000U);
  EXPECT_EQ(codes.size(), pieces);  // nothing occurs twice, in one tensor or two
}

TEST_F(RandomBaseTest, HasZerosBehindEverySection) {
  const fs::path folder = make("base", {.layers = 1});
  const std::string tensors = tensors_of(folder);
  const proto::PreparedBase manifest = read_manifest(folder / kManifestFile);
  std::size_t gaps = 0;
  for (const proto::PreparedTensor& t : manifest.tensors()) {
    const SectionBytes bytes = section_bytes(format_of(t.packing()), shape_of(t));
    const ParamLayout layout = layout_of(format_of(t.packing()), shape_of(t));
    std::uint64_t end = t.bytes();
    for (int s = kSections - 1; s >= 0; --s) {
      if (bytes[static_cast<std::size_t>(s)] == 0) continue;
      const std::uint64_t begin = layout.sections[static_cast<std::size_t>(s)] + bytes[static_cast<std::size_t>(s)];
      const std::string gap = tensors.substr(t.offset() + begin, end - begin);
      EXPECT_EQ(gap.find_first_not_of('\0'), std::string::npos) << t.name() << ", section " << s;
      gaps += gap.empty() ? 0 : 1;
      end = layout.sections[static_cast<std::size_t>(s)];
    }
  }
  EXPECT_GT(gaps, 10U);
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
