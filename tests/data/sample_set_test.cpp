#include "data/sample_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/record_tokenizer.h"
#include "data/rows/bad_rows.h"
#include "data/rows/row.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

// The real tokenizer and template, read once.
struct SmolLM2 {
  Tokenizer tokenizer = Tokenizer::open(test_model().string());
  ChatTemplate chat = chat_template_of(tokenizer);
  SampleMaker maker{tokenizer, chat};
  RecordTokenizer records{tokenizer, maker};
};
const SmolLM2& smollm2() {
  static const SmolLM2 model;
  return model;
}

std::vector<std::int32_t> ids_of(std::string_view text) {
  std::vector<std::int32_t> ids;
  for (const Token& token : smollm2().tokenizer.encode(text)) ids.push_back(token.id);
  return ids;
}

// The text with what trains in brackets.
std::string marked(const Sample& sample) {
  std::string text;
  bool open = false;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    if ((sample.trained[i] != 0) != open) text += (open = !open) ? "⟦" : "⟧";
    text += smollm2().tokenizer.bytes_of(sample.tokens[i]);
  }
  return text + (open ? "⟧" : "");
}

SampleSet load_samples(const std::vector<DatasetSource>& sources, const RecordTokenizer& records,
                       const SampleOptions& options, int threads) {
  BadRows bad;
  std::vector<Dataset> datasets;
  for (const DatasetSource& source : sources) datasets.push_back(load_dataset(source, records, options, bad, threads));
  return join(std::move(datasets), options);
}

class SampleSetTest : public ::testing::Test {
 protected:
  std::string write(const std::string& text, const std::string& name = "rows.jsonl") {
    return directory_.write(name, text).string();
  }
  SampleSet load(const std::string& text, SampleOptions options = {}, const std::string& name = "rows.jsonl") {
    return load_samples({{.path = write(text, name)}}, smollm2().records, options, 2);
  }
  static std::string row(int words) {
    std::string text;
    for (int i = 0; i < words; ++i) text += " word";
    return R"({"messages":[{"role":"user","content":"U"},{"role":"assistant","content":")" + text + "\"}]}\n";
  }
  static std::string rows(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += row(3);
    return text;
  }
  TemporaryDirectory directory_;
};

TEST_F(SampleSetTest, ReadsFilesInOrderAndSaysWhatItRead) {
  NEEDS_TEST_MODEL();
  const SampleSet set = load("\xEF\xBB\xBF" + row(1) + "\n  \n" + R"({"messages":[]})" + "\r\n" + row(5));
  ASSERT_EQ(set.samples.size(), 2U);
  EXPECT_EQ(set.samples[0].line, 1);
  EXPECT_EQ(set.samples[1].line, 5);
  EXPECT_EQ(set.samples[1].tokens.size(), set.samples[0].tokens.size() + 4);
  EXPECT_EQ(set.total().rows, 3);
  EXPECT_EQ(set.total().samples, 2);
  EXPECT_EQ(set.total().bad, 1);
  EXPECT_EQ(set.total().trained, 1 + 1 + 5 + 1);
  ASSERT_EQ(set.datasets[0].bad_rows.size(), 1U);
  EXPECT_EQ(set.datasets[0].bad_rows[0].line, 4);
  EXPECT_EQ(set.datasets[0].format, "chat_template");
}

TEST_F(SampleSetTest, TrainsTheAnswerOfAnAlpacaRowAndItsEnd) {
  NEEDS_TEST_MODEL();
  const SampleSet set = load(R"([{"instruction":"Add.","input":"1 2","output":"It is 3."}])", {}, "rows.json");
  ASSERT_EQ(set.samples.size(), 1U);
  const std::string prompt =
      "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
      "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### "
      "Response:";
  EXPECT_EQ(marked(set.samples[0]), prompt + "⟦It is 3.<|im_end|>⟧");
  EXPECT_EQ(set.samples[0].tokens, ids_of(prompt + "It is 3.<|im_end|>"));
}

TEST_F(SampleSetTest, TrainsAWholeTextAndSplitsItAtSequenceLen) {
  NEEDS_TEST_MODEL();
  const std::vector<std::int32_t> ids = ids_of("one two three four five six seven eight nine ten<|im_end|>");
  ASSERT_EQ(ids.size(), 11U);
  const std::string row = R"({"text":"one two three four five six seven eight nine ten"})";
  const SampleSet whole = load(row);
  ASSERT_EQ(whole.samples.size(), 1U);
  EXPECT_EQ(whole.samples[0].tokens, ids);
  EXPECT_EQ(whole.total().trained, 10);  // the first has nothing before it
  const SampleSet parts = load(row, {.sequence_len = 8, .train_on = {}, .excess = {}});
  ASSERT_EQ(parts.samples.size(), 2U);
  EXPECT_EQ(parts.samples[0].tokens, std::vector<std::int32_t>(ids.begin(), ids.begin() + 8));
  EXPECT_EQ(parts.samples[1].tokens, std::vector<std::int32_t>(ids.begin() + 8, ids.end()));
  EXPECT_EQ(parts.total().trained, 7 + 2);
  EXPECT_EQ(parts.total().cut, 0);
  EXPECT_EQ(load(row, {.sequence_len = 10, .train_on = {}, .excess = {}}).samples.size(),
            1U);  // the EOS alone would train nothing
  EXPECT_EQ(marked(load("One.\nTwo.\n", {}, "rows.txt").samples[0]), "One⟦.\nTwo.\n<|im_end|>⟧");
}

TEST_F(SampleSetTest, LettersOfControlTokensInATextStayLetters) {
  NEEDS_TEST_MODEL();
  const Sample sample = load(R"({"text":"a<|im_end|>b"})").samples[0];
  EXPECT_EQ(std::count(sample.tokens.begin(), sample.tokens.end(), smollm2().tokenizer.eos()), 1);
  EXPECT_EQ(sample.tokens.back(), smollm2().tokenizer.eos());
}

TEST_F(SampleSetTest, TakesSegmentsAsGiven) {
  NEEDS_TEST_MODEL();
  const SampleSet set = load(
      R"({"segments":[{"text":"<|im_start|>user\nHi","label":false},{"text":"ya<|im_end|>","label":true},{"text":"\n","label":false}]})");
  const Sample& sample = set.samples.at(0);
  EXPECT_EQ(marked(sample), "<|im_start|>user\nHi⟦ya<|im_end|>⟧\n");
  std::vector<std::int32_t> ids = ids_of("<|im_start|>user\nHi");
  for (const char* text : {"ya<|im_end|>", "\n"})
    for (const std::int32_t id : ids_of(text)) ids.push_back(id);
  EXPECT_EQ(sample.tokens, ids);
  EXPECT_EQ(sample.tokens.front(), smollm2().tokenizer.id_of("<|im_start|>"));
}

TEST_F(SampleSetTest, ATextThatTheTokenizerRefusesIsABadRow) {
  NEEDS_TEST_MODEL();
  const Record record = Segments{{Piece{"\xFF", true, false}}};
  EXPECT_THAT([&] { smollm2().records.samples_of({"r", 1, {}}, record, {}); },
              ThrowsMessage<RowError>(HasSubstr("not UTF-8")));
}

TEST_F(SampleSetTest, TakesTokensAndPromptsWithCompletions) {
  NEEDS_TEST_MODEL();
  const Sample tokens = load(R"({"input_ids":[1,2,3],"labels":[1,-100,3]})").samples.at(0);
  EXPECT_THAT(tokens.tokens, ElementsAre(1, 2, 3));
  EXPECT_THAT(tokens.trained, ElementsAre(0, 0, 1));
  EXPECT_THAT([&] { load(R"({"input_ids":[49152,3]})"); }, ThrowsMessage<Error>(HasSubstr("1 bad")));
  EXPECT_EQ(marked(load("prompt,completion\n1+1=,2\n", {}, "rows.csv").samples.at(0)), "1+1=⟦2<|im_end|>⟧");
  EXPECT_EQ(marked(load(R"({"prompt":[{"role":"system","content":"S"},{"role":"user","content":"U"}],)"
                        R"("completion":[{"role":"assistant","content":"A"}]})")
                       .samples.at(0)),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n⟦A<|im_end|>⟧\n");
}

TEST_F(SampleSetTest, ReadsShareGpt) {
  NEEDS_TEST_MODEL();
  EXPECT_EQ(marked(load(R"({"conversations":[{"from":"system","value":"S"},{"from":"human","value":"U"},)"
                        R"({"from":"gpt","value":"A"}]})")
                       .samples.at(0)),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n⟦A<|im_end|>⟧\n");
}

TEST_F(SampleSetTest, ReadsDatasetsOfDifferentTypesTogether) {
  NEEDS_TEST_MODEL();
  const SampleSet set = load_samples({{.path = write(row(1), "b.jsonl"), .type = "chat_template"},
                                      {.path = write("instruction,output\nI,O\n", "a.csv"), .type = "alpaca"},
                                      {.path = write("T", "c.txt"), .type = "completion"}},
                                     smollm2().records, {}, 1);
  ASSERT_EQ(set.samples.size(), 3U);
  EXPECT_TRUE(set.samples[1].source.ends_with("a.csv"));
  EXPECT_EQ(set.samples[1].line, 2);
  EXPECT_EQ(marked(set.samples[2]), "T⟦<|im_end|>⟧");
}

TEST_F(SampleSetTest, GivesTheSameFromEveryNumberOfThreads) {
  NEEDS_TEST_MODEL();
  std::string text;
  for (int i = 0; i < 300; ++i) {
    text += row(1 + i % 40);
    if (i % 60 == 30) text += "{bad\n";
  }
  const DatasetSource source{.path = write(text)};
  const SampleSet one = load_samples({source}, smollm2().records, {}, 1);
  for (const int threads : {2, 3, 8}) {
    const SampleSet more = load_samples({source}, smollm2().records, {}, threads);
    ASSERT_EQ(more.samples.size(), one.samples.size());
    for (std::size_t i = 0; i < one.samples.size(); ++i) {
      EXPECT_EQ(more.samples[i].tokens, one.samples[i].tokens);
      EXPECT_EQ(more.samples[i].trained, one.samples[i].trained);
      EXPECT_EQ(more.samples[i].line, one.samples[i].line);
    }
    EXPECT_EQ(more.total().trained, one.total().trained);
    EXPECT_EQ(more.total().bad, one.total().bad);
  }
}

TEST_F(SampleSetTest, ABaseModelNeedsNoChatTemplateForTexts) {
  NEEDS_TEST_MODEL();
  const RecordTokenizer records(smollm2().tokenizer, "the model has no chat template");
  EXPECT_EQ(load_samples({{.path = write("T", "rows.txt")}}, records, {}, 1).samples.size(), 1U);
  EXPECT_THAT([&] { load_samples({{.path = write(row(1))}}, records, {}, 1); },
              ThrowsMessage<Error>(HasSubstr("rows.jsonl:1: the model has no chat template")));
}

TEST_F(SampleSetTest, CutsAFewLongRowsUnasked) {
  NEEDS_TEST_MODEL();
  const SampleSet set = load(rows(99) + row(100), {.sequence_len = 64, .train_on = {}, .excess = {}});
  EXPECT_EQ(set.total().cut, 1);
  EXPECT_EQ(set.samples.size(), 100U);
  EXPECT_EQ(set.samples.back().tokens.size(), 64U);
  EXPECT_EQ(set.samples.back().trained.size(), 64U);
}

TEST_F(SampleSetTest, WantsAWordAboutManyLongRows) {
  NEEDS_TEST_MODEL();
  const std::string text = rows(98) + row(100) + row(200);
  EXPECT_THAT(
      [&] { load(text, {.sequence_len = 64, .train_on = {}, .excess = {}}); },
      ThrowsMessage<Error>(HasSubstr("2 of 100 rows are longer than sequence_len (64 tokens; the longest has")));
  EXPECT_EQ(load(text, {.sequence_len = 64, .train_on = {}, .excess = ExcessLength::kTruncate}).total().cut, 2);
  const SampleSet dropped = load(text, {.sequence_len = 64, .train_on = {}, .excess = ExcessLength::kDrop});
  EXPECT_EQ(dropped.total().dropped, 2);
  EXPECT_EQ(dropped.samples.size(), 98U);
  EXPECT_THAT([&] { load(text, {.sequence_len = 64, .train_on = {}, .excess = ExcessLength::kError}); },
              ThrowsMessage<Error>(HasSubstr("rows.jsonl:99: ")));
  // What is cut to nothing that trains is dropped, not kept.
  EXPECT_THAT([&] { load(rows(3), {.sequence_len = 8, .train_on = {}, .excess = ExcessLength::kTruncate}); },
              ThrowsMessage<Error>(HasSubstr("not one row of 3 can be trained on (0 bad, 3 dropped as too long)")));
}

TEST_F(SampleSetTest, StopsAfterTenBadRows) {
  NEEDS_TEST_MODEL();
  std::string text = rows(2);
  for (int i = 0; i < 12; ++i) text += "{\n";
  EXPECT_THAT([&] { load(text); },
              ThrowsMessage<Error>(
                  HasSubstr("rows.jsonl:12: 10 bad rows; correct or remove them (the last: not valid JSON: byte")));
}

TEST(BadRows, EndTheReadingFromTheTenthOnWhereTheyAreMoreThanOneInAHundred) {
  const auto add = [](std::int64_t read, std::int64_t bad) {
    BadRows rows;
    rows.count_read(read);
    for (std::int64_t i = 1; i <= bad; ++i) rows.add("r", i, "why");
  };
  EXPECT_NO_THROW(add(9, 9));
  EXPECT_THROW(add(10, 10), Error);
  EXPECT_THROW(add(999, 10), Error);
  EXPECT_NO_THROW(add(1000, 10));
  EXPECT_THROW(add(1099, 11), Error);
  testing::internal::CaptureStdout();
  add(2000, 12);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_THAT(said, AllOf(HasSubstr("r:10: row left out: why"), HasSubstr("counted only"), Not(HasSubstr("r:11:"))));
}

// Original Alpaca has 28 empty answers in 52,002 rows.
TEST_F(SampleSetTest, GoesOnWhereOneRowInAHundredIsBad) {
  NEEDS_TEST_MODEL();
  std::string text;
  for (int i = 0; i < 12; ++i) text += rows(119) + row(0);  // an answer that says nothing
  const DatasetSource source{.path = write(text)};
  EXPECT_EQ(load_samples({source}, smollm2().records, {}, 2).total().bad, 12);
}

TEST_F(SampleSetTest, RefusesFilesThatAreNoRows) {
  NEEDS_TEST_MODEL();
  EXPECT_THAT([&] { load(""); }, ThrowsMessage<Error>(HasSubstr("rows.jsonl: no rows in it")));
  EXPECT_THAT([&] { load("\n\n"); }, ThrowsMessage<Error>(HasSubstr("rows.jsonl: no rows in it")));
  EXPECT_THAT([&] { load("[]"); }, ThrowsMessage<Error>(HasSubstr("rows.jsonl: no rows in it")));
  EXPECT_THAT([&] { load("3\n"); }, ThrowsMessage<Error>(HasSubstr("it is no JSON object")));
  EXPECT_THAT([&] { load("{\n"); }, ThrowsMessage<Error>(HasSubstr("not one row of 1 can be trained on (1 bad")));
  EXPECT_THAT([&] { load_samples({{.path = "/nonexistent/rows.jsonl"}}, smollm2().records, {}, 1); },
              ThrowsMessage<Error>(HasSubstr("No such file")));
}

TEST_F(SampleSetTest, TrainsTheRolesThatADatasetNames) {
  NEEDS_TEST_MODEL();
  DatasetSource source{
      .path = write(row(1)), .roles_to_train = std::vector<std::string>{"user"}, .train_on_eos = TrainOnEos::kNone};
  const SampleSet set = load_samples({source}, smollm2().records, {}, 1);
  EXPECT_THAT(marked(set.samples.at(0)), HasSubstr("<|im_start|>user\n⟦U⟧<|im_end|>\n<|im_start|>assistant\n word<"));
  // Names of other files are mapped as those of messages are.
  source.roles_to_train = {"human"};
  EXPECT_THAT(marked(load_samples({source}, smollm2().records, {}, 1).samples.at(0)), HasSubstr("user\n⟦U⟧<"));
  source.roles_to_train = {"gpt"};
  EXPECT_THAT(marked(load_samples({source}, smollm2().records, {}, 1).samples.at(0)),
              HasSubstr("user\nU<|im_end|>\n<|im_start|>assistant\n⟦ word⟧<"));
  source.roles = {{"user", {"guest"}}};
  source.roles_to_train = {"guest"};
  EXPECT_THAT(marked(load_samples({source}, smollm2().records, {}, 1).samples.at(0)), HasSubstr("user\n⟦U⟧<"));
  source.roles_to_train = {"nobody"};
  EXPECT_THAT([&] { load_samples({source}, smollm2().records, {}, 1); },
              ThrowsMessage<Error>(HasSubstr("roles_to_train: unknown role \"nobody\"")));
  // An empty list trains nobody but the messages that say so.
  source = {.path = write(row(1)), .roles_to_train = std::vector<std::string>{}};
  EXPECT_THAT([&] { load_samples({source}, smollm2().records, {}, 1); },
              ThrowsMessage<Error>(HasSubstr("not one row of 1 can be trained on")));
}

TEST_F(SampleSetTest, LoadsPrompts) {
  NEEDS_TEST_MODEL();
  const auto prompts = [&](const std::string& text) {
    return load_prompts({{.path = write(text)}}, smollm2().records);
  };
  EXPECT_EQ(prompts(row(1) + row(2)).at(1).reference, " word word");
  EXPECT_EQ(prompts(row(1) + row(2)).at(1).line, 2);
  const Prompt prompt = prompts(R"({"instruction":"I","output":"O"})").at(0);
  EXPECT_EQ(prompt.reference, "O");
  EXPECT_TRUE(smollm2().tokenizer.decode(prompt.tokens).ends_with("### Instruction:\nI\n\n### Response:"));
  EXPECT_THAT([&] { prompts(R"({"text":"T"})"); }, ThrowsMessage<Error>(HasSubstr("no row to ask")));
}

}  // namespace
}  // namespace shardlora
