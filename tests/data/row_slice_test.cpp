#include "data/formats/row_slice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "data/formats/dataset_rows.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

RowSlice slice_of(const std::string& text) { return parse_row_slice(text).value(); }

TEST(RowSlice, CountsAsHuggingFacesSplits) {
  EXPECT_THAT(slice_of("train").bounds(10), Pair(0, 10));
  EXPECT_THAT(slice_of("train[:3]").bounds(10), Pair(0, 3));
  EXPECT_THAT(slice_of("train[4:]").bounds(10), Pair(4, 10));
  EXPECT_THAT(slice_of("train[2:50]").bounds(10), Pair(2, 10));
  EXPECT_THAT(slice_of("train[10%:20%]").bounds(1000), Pair(100, 200));
  // int(round(boundary * rows / 100.0)) of Python: 2.5 -> 2, 3.5 -> 4, 0.7 -> 1
  EXPECT_THAT(slice_of("train[25%:35%]").bounds(10), Pair(2, 4));
  EXPECT_THAT(slice_of("train[:1%]").bounds(70), Pair(0, 1));
}

TEST(RowSlice, TakesTheFirstSamplesOfThat) {
  RowSlice slice = slice_of("train[4:]");
  slice.at_most = 3;
  EXPECT_THAT(slice.bounds(10), Pair(4, 7));
  EXPECT_THAT(slice.bounds(5), Pair(4, 5));
}

TEST(RowSlice, RefusesOtherTexts) {
  for (const char* text : {"test", "train[", "train[]", "train[5]", "train[-5:]", "train[:101%]", "train[a:b]",
                           "train[:5]+test", "train[1.5:]", "train[:20%"})
    EXPECT_FALSE(parse_row_slice(text)) << text;
}

class SlicedRows : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("shardlora_slice_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    for (const char file : {'a', 'b'}) {
      std::ofstream out(folder_ / (std::string(1, file) + ".jsonl"));
      for (int i = 0; i < 5; ++i) out << R"({"text": ")" << file << i << "\"}\n";
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // The texts of all rows, one behind the other.
  std::string rows_of(const std::string& split, std::optional<std::int64_t> at_most = {},
                      const std::string& type = "completion") const {
    DatasetSource source{.path = folder_.string(), .type = type, .rows = slice_of(split)};
    source.rows.at_most = at_most;
    DatasetRows rows(source);
    std::string texts;
    for (auto batch = rows.next_batch(); !batch.empty(); batch = rows.next_batch())
      for (const RawRow& raw : batch) texts += raw.text.substr(10, 2);
    return texts;
  }
  std::filesystem::path folder_;
};

TEST_F(SlicedRows, CountThroughAllFiles) {
  EXPECT_EQ(rows_of("train"), "a0a1a2a3a4b0b1b2b3b4");
  EXPECT_EQ(rows_of("train[3:7]"), "a3a4b0b1");
  EXPECT_EQ(rows_of("train[:20%]"), "a0a1");
  EXPECT_EQ(rows_of("train[60%:]"), "b1b2b3b4");
  EXPECT_EQ(rows_of("train", 6), "a0a1a2a3a4b0");
  EXPECT_EQ(rows_of("train[6:]", 2, ""), "b1b2");
}

TEST_F(SlicedRows, WithoutARowAreAnError) {
  EXPECT_THAT([&] { rows_of("train[10:]"); }, ThrowsMessage<Error>(HasSubstr("begins behind the last of its 10 rows")));
  EXPECT_THAT([&] { rows_of("train[:1%]"); }, ThrowsMessage<Error>(HasSubstr("train[:1%] holds no row")));
}

}  // namespace
}  // namespace shardlora
