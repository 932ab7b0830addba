#include "data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;

class DatasetTest : public ::testing::Test {
 protected:
  // The reason why a row is bad.
  std::string reason_of(const std::string& row) {
    std::string reason = "none";
    BadRows bad;
    const auto path = directory_.write("rows.jsonl", row + "\n").string();
    // Ten times the same row: the tenth is told in the Error.
    std::string text;
    for (int i = 0; i < 10; ++i) text += row + "\n";
    directory_.write("rows.jsonl", text);
    try {
      for_each_row(path, bad, [](Row&&) {});
    } catch (const Error& error) {
      reason = error.what();
    }
    return reason;
  }
  TemporaryDirectory directory_;
};

TEST_F(DatasetTest, SaysWhatIsWrongWithARow) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"{\"messages\": [", "not valid JSON: byte "},
      {"{\"messages\": [{\"role\": \"assistant\", \"content\": \"\xFF\"}]}", "not valid JSON: byte "},
      {"3", "not a JSON object; a row needs \"messages\""},
      {"{}", "\"messages\" is missing; a row needs"},
      {"{\"instruction\": \"x\", \"output\": \"y\"}",
       "rows with \"instruction\" are not supported in this version; a row needs"},
      {"{\"conversations\": []}", "rows with \"conversations\" are not supported in this version"},
      {"{\"messages\": []}", "\"messages\" must be a list with at least one message"},
      {"{\"messages\": \"hi\"}", "\"messages\" must be a list"},
      {"{\"messages\": [\"hi\"]}", "message 1: not a JSON object"},
      {"{\"messages\": [{\"content\": \"x\"}]}", "message 1: role is missing"},
      {"{\"messages\": [{\"role\": 1, \"content\": \"x\"}]}", "message 1: role must be text, not number"},
      {"{\"messages\": [{\"role\": \"user\"}]}", "message 1: content is missing"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, {\"role\": \"assistant\", \"content\": null}]}",
       "message 2: content is missing"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": 5}]}", "message 1: content must be text, not number"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}]}]}",
       "message 1: only parts {\"type\": \"text\""},
      {"{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
       "no message of the assistant, so nothing to train"},
  };
  for (const auto& [row, reason] : rows)
    EXPECT_THAT(reason_of(row), HasSubstr("rows.jsonl:10: 10 bad rows; correct or remove them (the last: " + reason))
        << row;
}

TEST_F(DatasetTest, TakesWhatMessagesMayHold) {
  const std::string text =
      "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"x\"}]}, {\"role\": "
      "\"assistant\", \"content\": \"\"}], \"more\": 1}\n"
      "{\"messages\": [{\"role\": \"assistant\", \"content\": null, \"tool_calls\": []}]}";
  const auto path = directory_.write("rows.jsonl", text).string();
  BadRows bad;
  std::vector<std::int64_t> lines;
  EXPECT_EQ(for_each_row(path, bad, [&](Row&& row) { lines.push_back(row.line); }), 2);
  EXPECT_EQ(bad.count(), 0);
  EXPECT_THAT(lines, ::testing::ElementsAre(1, 2));
}

TEST_F(DatasetTest, ReadsLinesLongerThanItsBuffer) {
  const std::string row =
      "{\"messages\": [{\"role\": \"assistant\", \"content\": \"" + std::string(3 << 20, 'x') + "\"}]}\n";
  const auto path = directory_.write("rows.jsonl", row + row).string();
  BadRows bad;
  std::size_t bytes = 0;
  EXPECT_EQ(
      for_each_row(path, bad, [&](Row&& r) { bytes += r.json["messages"][0]["content"].get<std::string>().size(); }),
      2);
  EXPECT_EQ(bytes, std::size_t{6} << 20);
}

TEST_F(DatasetTest, RefusesALineBeyondItsLimit) {
  const auto path = directory_.write("rows.jsonl", "{}\n" + std::string((64 << 20) + 1, 'x')).string();
  BadRows bad;
  EXPECT_THAT(
      [&] { for_each_row(path, bad, [](Row&&) {}); },
      ::testing::ThrowsMessage<Error>(HasSubstr("rows.jsonl:2: a line of more than 64 MB; is this a JSONL file")));
}

}  // namespace
}  // namespace shardlora
