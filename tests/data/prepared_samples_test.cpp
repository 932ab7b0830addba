#include "data/prepared_samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "io/temporary_directory.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

class PreparedSamplesTest : public ::testing::Test {
 protected:
  PreparedSamplesTest() { source_.path = directory_.write("rows.jsonl", "{}\n").string(); }

  static Dataset dataset() {
    Dataset made;
    made.samples = {
        {{1, 2, 3}, {0, 1, 1}, "rows.jsonl", 1}, {{}, {}, "é.jsonl", 7}, {{-1, 70000}, {0, 1}, "rows.jsonl", 9}};
    made.summary = {"rows.jsonl", "alpaca", 5, 1, 1, 1, 2, 99, 3, 5, 3, {{"rows.jsonl", 4, "why \"so\""}}};
    return made;
  }
  Dataset get(const PreparedSamples& prepared) {
    return prepared.get(source_, options_, [&] {
      ++made_;
      return dataset();
    });
  }
  PreparedSamples prepared(const std::string& tokenizer = "t") { return {directory_.path() / "a/b", tokenizer}; }
  TemporaryDirectory directory_;
  DatasetSource source_;
  SampleOptions options_;
  std::atomic<int> made_ = 0;
};

TEST_F(PreparedSamplesTest, GivesBackWhatWasMade) {
  get(prepared());
  const Dataset kept = get(prepared());
  EXPECT_EQ(made_, 1);
  const Dataset made = dataset();
  ASSERT_EQ(kept.samples.size(), made.samples.size());
  for (std::size_t i = 0; i < made.samples.size(); ++i) {
    EXPECT_EQ(kept.samples[i].tokens, made.samples[i].tokens);
    EXPECT_EQ(kept.samples[i].trained, made.samples[i].trained);
    EXPECT_EQ(kept.samples[i].source, made.samples[i].source);
    EXPECT_EQ(kept.samples[i].line, made.samples[i].line);
  }
  const DatasetSummary &s = kept.summary, &t = made.summary;
  EXPECT_EQ(std::tie(s.path, s.format, s.rows, s.bad, s.cut, s.dropped, s.too_long, s.longest, s.samples, s.tokens,
                     s.trained),
            std::tie(t.path, t.format, t.rows, t.bad, t.cut, t.dropped, t.too_long, t.longest, t.samples, t.tokens,
                     t.trained));
  ASSERT_EQ(s.bad_rows.size(), 1U);
  EXPECT_EQ(s.bad_rows[0].reason, "why \"so\"");
  EXPECT_EQ(s.bad_rows[0].line, 4);
}

TEST_F(PreparedSamplesTest, EverythingThatSamplesFollowFromIsInTheName) {
  std::vector<fs::path> names{prepared().path_of(source_, options_), prepared("u").path_of(source_, options_)};
  const auto changed_source = [&](auto change) {
    DatasetSource source = source_;
    change(source);
    names.push_back(prepared().path_of(source, options_));
  };
  changed_source([](DatasetSource& s) { s.type = "alpaca"; });
  changed_source([](DatasetSource& s) { s.field = "x"; });
  changed_source([](DatasetSource& s) { s.field_messages = "x"; });
  changed_source([](DatasetSource& s) { s.message_field_role = "x"; });
  changed_source([](DatasetSource& s) { s.message_field_content = "x"; });
  changed_source([](DatasetSource& s) { s.field_system = "x"; });
  changed_source([](DatasetSource& s) { s.field_tools = "x"; });
  changed_source([](DatasetSource& s) { s.roles["user"] = {"x"}; });
  changed_source([](DatasetSource& s) { s.roles_to_train = std::vector<std::string>{"x"}; });
  changed_source([](DatasetSource& s) { s.roles_to_train.emplace(); });
  changed_source([](DatasetSource& s) { s.train_on_eos = TrainOnEos::kTurn; });
  changed_source([&](DatasetSource& s) { s.path = directory_.write("other.jsonl", "{}\n").string(); });
  const auto changed_options = [&](const SampleOptions& options) {
    names.push_back(prepared().path_of(source_, options));
  };
  changed_options({.sequence_len = 7, .train_on = {}, .excess = {}});
  changed_options({.sequence_len = 2048, .train_on = {.inputs = true}, .excess = {}});
  changed_options({.sequence_len = 2048, .train_on = {.roles = {}}, .excess = {}});
  changed_options({.sequence_len = 2048, .train_on = {.eos = TrainOnEos::kAll}, .excess = {}});
  changed_options({.sequence_len = 2048, .train_on = {}, .excess = ExcessLength::kTruncate});
  directory_.write("rows.jsonl", "{ }\n");
  names.push_back(prepared().path_of(source_, options_));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST_F(PreparedSamplesTest, DamageIsFoundAndMadeAnew) {
  get(prepared());
  const fs::path path = prepared().path_of(source_, options_);
  const auto size = fs::file_size(path);
  std::ifstream file(path, std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(good.size(), size);
  int expected = 1;
  for (std::size_t at = 0; at < good.size(); at += 7) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    std::ofstream(path, std::ios::binary) << bad;
    EXPECT_EQ(get(prepared()).samples.size(), 3U);
    EXPECT_EQ(made_, ++expected) << "byte " << at;
  }
  for (const std::size_t cut : {std::size_t{0}, std::size_t{5}, std::size_t{40}, good.size() - 1}) {
    std::ofstream(path, std::ios::binary) << good.substr(0, cut);
    get(prepared());
    EXPECT_EQ(made_, ++expected) << "cut at " << cut;
  }
  get(prepared());
  EXPECT_EQ(made_, expected);
}

TEST_F(PreparedSamplesTest, OneMakesThemAndTheOthersWait) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      prepared().get(source_, options_, [&] {
        ++made_;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        return dataset();
      });
    });
  }
  threads.clear();
  EXPECT_EQ(made_, 1);
}

TEST_F(PreparedSamplesTest, AFolderThatCannotBeIsNoHindrance) {
  directory_.write("a", "a file");
  EXPECT_EQ(get(prepared()).samples.size(), 3U);
}

TEST_F(PreparedSamplesTest, AnErrorWhileMakingLeavesNothingBehind) {
  EXPECT_THROW(prepared().get(source_, options_, []() -> Dataset { fail("no"); }), Error);
  get(prepared());
  EXPECT_EQ(made_, 1);
}

}  // namespace
}  // namespace shardlora
