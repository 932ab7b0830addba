#include "data/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "data/preview.h"
#include "data/rows/row.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const Tokenizer& tokenizer() {
  static const Tokenizer model = Tokenizer::open(test_model().string());
  return model;
}

// Tokens from `first` on, of which the last one trains.
Sample sample_of(std::int32_t first, std::size_t count, std::int64_t line = 1) {
  Sample sample{std::vector<std::int32_t>(count), std::vector<std::uint8_t>(count), "rows.jsonl", line};
  std::iota(sample.tokens.begin(), sample.tokens.end(), first);
  sample.trained.back() = 1;
  return sample;
}

Sample sample_of(const std::string& text) {
  Sample sample{{}, {}, "rows.jsonl", 1};
  for (const Token& token : tokenizer().encode(text)) sample.tokens.push_back(token.id);
  sample.trained.assign(sample.tokens.size(), 1);
  return sample;
}

Audit look_at(std::vector<Sample> samples, std::vector<Sample> held_out = {}, int threads = 1) {
  SampleSet train, test;
  train.samples = std::move(samples);
  test.samples = std::move(held_out);
  return audit(train, test, tokenizer(), 2048, threads);
}

TEST(Audit, FindsRepeatsOfTokensAndWhatTrainsOfThem) {
  Sample other_mask = sample_of(100, 20);
  other_mask.trained[3] = 1;
  EXPECT_THAT(repeats_of({sample_of(100, 20), sample_of(100, 21), sample_of(100, 20), other_mask, sample_of(100, 20)}),
              ElementsAre(0, 0, 1, 0, 1));
  EXPECT_THAT(repeats_of({}), ElementsAre());
}

TEST(Audit, FindsHeldOutSamplesInsideOthers) {
  NEEDS_TEST_MODEL();
  const std::vector<Sample> test = {sample_of(1000, 20, 5), sample_of(3000, 4, 6), sample_of(1000, 40, 7)};
  for (const int threads : {1, 3}) {
    const Audit a = look_at({sample_of(990, 29, 1),    // 990 … 1018: without the last token of the first
                             sample_of(990, 30, 2),    // … 1019: holds the first
                             sample_of(1000, 20, 3),   // is the first
                             sample_of(2999, 20, 4),   // holds the second, which is too short to be looked for inside
                             sample_of(3000, 4, 5),    // is the second
                             sample_of(500, 600, 6)},  // holds the first and the third
                            test, threads);
    EXPECT_EQ(a.leaks, 4);
    EXPECT_EQ(a.leak, "rows.jsonl:2 holds rows.jsonl:5");
    EXPECT_THAT(a.text(),
                HasSubstr("! 4 samples hold a whole held-out one, so the eval loss flatters:\n  rows.jsonl:2"));
  }
  EXPECT_EQ(look_at({sample_of(1, 30)}).leaks, 0);
}

TEST(Audit, FindsWhatTeachesNoEnd) {
  NEEDS_TEST_MODEL();
  // Whatever the template ends an answer with, also where the model's files say otherwise.
  const auto sample_by = [](const std::string& turn, const TrainOn& what = {}) {
    const ChatTemplate chat("{% for m in messages %}" + turn + "{% endfor %}", "t");
    const Row row{
        "rows.jsonl",
        1,
        {{"messages", {{{"role", "user"}, {"content", "So?"}}, {{"role", "assistant"}, {"content", "Yes"}}}}}};
    return SampleMaker(tokenizer(), chat).sample_of(row, what);
  };
  const std::string theirs = "{{ m.content }}<|im_end|>", others = "{{ m.content }}<|im_start|>\n";
  const Audit a = look_at({sample_by(theirs), sample_by(others), sample_by(theirs), sample_by("{{ m.content }}\n"),
                           sample_by(others, {.eos = TrainOnEos::kNone})});
  EXPECT_EQ(a.endless, 2);
  // As long as sequence_len, its end may have been cut.
  EXPECT_EQ(look_at({sample_of(0, 2048)}).endless, 0);
  EXPECT_EQ(look_at({sample_of(0, 2047)}).endless, 1);
  EXPECT_THAT(a.text(), HasSubstr("! 2 samples train no token that ends an answer"));
}

TEST(Audit, FindsBosTwiceAndControlTokensAsText) {
  NEEDS_TEST_MODEL();
  Sample twice = sample_of("<|im_end|>");
  twice.tokens.insert(twice.tokens.begin(), 2, *tokenizer().bos());
  twice.trained.insert(twice.trained.begin(), 2, 0);
  Sample once = twice, later = twice;
  once.tokens.erase(once.tokens.begin()), once.trained.erase(once.trained.begin());
  std::swap(later.tokens[0], later.tokens[2]);
  Sample spelt{{}, {}, "rows.jsonl", 1};
  const std::string text = "a<|im_end|>";
  for (const Token& token : tokenizer().encode(text, std::vector<std::uint8_t>(text.size(), 0))) {
    spelt.tokens.push_back(token.id);
    spelt.trained.push_back(1);
  }
  const Audit a = look_at({twice, once, later, spelt, sample_of("a<|im_end|>")});
  EXPECT_EQ(a.double_bos, 1);
  EXPECT_EQ(a.spelt_control, 1);
  EXPECT_EQ(a.spelt, "<|im_end|>");
  EXPECT_THAT(a.text(), HasSubstr("! 1 samples spell a control token in their text (<|im_end|>)"));
}

TEST(Audit, IsTextOfAtMost80Columns) {
  NEEDS_TEST_MODEL();
  SampleSet train;
  for (std::size_t i = 0; i < 2000; ++i) train.samples.push_back(sample_of(0, 1 + i % 700));
  train.datasets = {{"data/a-folder-with-a-rather-long-name/ünd/rows.jsonl",
                     "alpaca",
                     123'456'789,
                     7,
                     1'234'567,
                     89'012'345,
                     1'300'000,
                     123'456,
                     98'765'432,
                     1'000'000'000,
                     345'678'901,
                     {}}};
  train.repeats = 12;
  SampleSet held_out{train.samples, train.datasets};
  const std::string text = audit(train, held_out, tokenizer(), 1024, 1).text();
  std::size_t columns = 0;
  for (const char c : text + "\n") {
    if (c == '\n') {
      EXPECT_LE(columns, 80U) << text;
      columns = 0;
    } else if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) {
      ++columns;
    }
  }
  EXPECT_THAT(text, HasSubstr("tokens of a sample: 1 to 700, median 334"));
  EXPECT_THAT(text, HasSubstr("  up to       188 "));
  EXPECT_THAT(text, HasSubstr("  up to       700        911 ################################################\n"));
  EXPECT_THAT(text, HasSubstr("12 samples are exact repeats of others;\n  dataset_exact_deduplication: true removes"));
  EXPECT_THAT(text, HasSubstr("1,300,000 rows (1.1 %) exceed sequence_len; the longest has 123,456 tokens"));
}

TEST(Audit, AnExcerptEndsAtAWholeCharacter) {
  NEEDS_TEST_MODEL();
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "é";
  const std::string excerpt = preview_excerpt(sample_of(text), tokenizer());
  EXPECT_LT(excerpt.size(), 1600U);
  EXPECT_THAT(excerpt, HasSubstr("é … (the rest: shardlora preview)\n"));
  EXPECT_EQ(preview_excerpt(sample_of("a\n"), tokenizer()), "⟦a\n⟧\n");
}

}  // namespace
}  // namespace shardlora
