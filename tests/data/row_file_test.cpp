#include "data/rows/row_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "data/rows/bad_rows.h"
#include "data/rows/find_files.h"
#include "io/temporary_directory.h"

namespace shardlora {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class RowFileTest : public ::testing::Test {
 protected:
  // Every row as "<line>: <JSON>", a bad one as "<line>: bad: <reason>".
  std::vector<std::string> rows(const std::string& name, std::string_view bytes) {
    const auto file = open_row_file(directory_.write(name, bytes));
    std::vector<std::string> out;
    for (RawRow raw; file->next(raw);) {
      try {
        out.push_back(std::to_string(raw.line) + ": " + file->parse(raw).dump());
      } catch (const RowError& error) {
        out.push_back(std::to_string(raw.line) + ": bad: " + error.what());
      }
    }
    return out;
  }
  void expect_error(const std::string& name, std::string_view bytes, const std::string& text) {
    EXPECT_THAT([&] { rows(name, bytes); }, ThrowsMessage<Error>(HasSubstr(text))) << name;
  }
  TemporaryDirectory directory_;
};

TEST_F(RowFileTest, ReadsOneRowALine) {
  const auto wanted = ElementsAre(R"(1: {"a":1})", R"(3: {"a":"é"})");
  EXPECT_THAT(rows("r.jsonl", "{\"a\": 1}\n\n{\"a\": \"é\"}\n"), wanted);
  EXPECT_THAT(rows("r.jsonl", "\xEF\xBB\xBF{\"a\": 1}\r\n  \r\n{\"a\": \"é\"}"), wanted);
  EXPECT_THAT(rows("r.json", "{\"a\": 1}\n\n{\"a\": \"é\"}\n"), wanted);
  EXPECT_THAT(rows("rows", "{\"a\": 1}\n\n{\"a\": \"é\"}\n"), wanted);
}

TEST_F(RowFileTest, ADamagedLineSpoilsNoOther) {
  EXPECT_THAT(
      rows("r.jsonl", "{\"a\": [\n{\"a\": \"\xFF\"}\n3\n"),
      ElementsAre(HasSubstr("1: bad: not valid JSON: byte "), HasSubstr("2: bad: not valid JSON: byte "), "3: 3"));
}

TEST_F(RowFileTest, ReadsTheElementsOfAList) {
  const auto wanted = ElementsAre(R"(2: {"a":"x]\\\"}"})", R"(3: {"a":[1,[2]]})", R"(5: {"b":{}})");
  const std::string list = "[\n{\"a\": \"x]\\\\\\\"}\"} ,\n {\"a\": [1, [2]]}\n,\n{\"b\":\n{}}]\n";
  EXPECT_THAT(rows("r.json", list), wanted);
  EXPECT_THAT(rows("r.jsonl", "\xEF\xBB\xBF" + list), wanted);
  EXPECT_THAT(rows("r.json", "[{}, 3, \"x\", {\"a\": }, null]"),
              ElementsAre("1: {}", "1: 3", "1: \"x\"", HasSubstr("1: bad: not valid JSON"), "1: null"));
  EXPECT_THAT(rows("r.json", " [ ] "), ElementsAre());
}

TEST_F(RowFileTest, ReadsObjectsOverSeveralLines) {
  EXPECT_THAT(rows("r.json", "{\n \"a\": 1\n}\n{\n \"a\": 2\n}"), ElementsAre(R"(1: {"a":1})", R"(4: {"a":2})"));
}

TEST_F(RowFileTest, SaysWhatIsWrongWithAList) {
  expect_error("r.json", "[{},\n{\"a\": 1", "r.json:2: the file ends inside this row");
  expect_error("r.json", "[{}\n", "r.json:2: the list has no end; the file is cut off");
  expect_error("r.json", "[{}\n{}]", "r.json:2: expected a comma or the end of the list after row 1, got '{'");
  expect_error("r.json", "[{},\n]", "r.json:2: expected a row, got ']'");
  expect_error("r.json", "[{}]\n[{}]", "r.json:2: more text after the end of the list");
}

TEST_F(RowFileTest, ReadsCsv) {
  EXPECT_THAT(rows("r.csv", "a,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n\r\n,5\"\" pipe\r\n"),
              ElementsAre(R"(2: {"a":"1","b":"x, \"y\"\nz"})", R"(5: {"a":"","b":"5\"\" pipe"})"));
  EXPECT_THAT(rows("r.tsv",
                   "\xEF\xBB\xBF"
                   "a\tb\n\"\"\t\"x\""),
              ElementsAre(R"(2: {"a":"","b":"x"})"));
  EXPECT_THAT(rows("r.csv", "a,b\n1\n1,2,3\n\"x\"y,2\n\xFF,1\n1,2\n"),
              ElementsAre("2: bad: 1 fields, but the first line names 2 columns",
                          "3: bad: 3 fields, but the first line names 2 columns",
                          HasSubstr("4: bad: text after the closing quote of field 1"),
                          HasSubstr("5: bad: byte 0 is not UTF-8"), R"(6: {"a":"1","b":"2"})"));
  expect_error("r.csv", "a,b\n1,\"x\n", "r.csv:2: a quote that opens in this row is never closed");
  expect_error("r.csv", "a,a\n", "r.csv:1: two columns are named \"a\"");
  expect_error("r.csv", ",a,a\n", "r.csv:1: two columns are named \"a\"");
}

// As pandas.read_csv does: to_csv wrote the index of a table, or two of them, under no name.
TEST_F(RowFileTest, PassesOverColumnsThatHaveNoName) {
  const auto wanted = ElementsAre(R"(2: {"a":"x","b":"y"})", R"(3: {"a":"z","b":""})");
  EXPECT_THAT(rows("r.csv", ",a,b\n0,x,y\n1,z,\n"), wanted);
  EXPECT_THAT(rows("r.csv", "\xEF\xBB\xBF,a,b\r\n\"0\",x,y\r\nfirst,z,\r\n"), wanted);
  EXPECT_THAT(rows("r.csv", "\"\",,a,b\n0,1,x,y\n,,z,\n"), wanted);
  EXPECT_THAT(rows("r.tsv", "a\tb\t\t\nx\ty\t\t\nz\t\t\t\n"), wanted);  // columns that a spreadsheet left empty
  EXPECT_THAT(rows("r.csv", "a,,b\nx,said,y\nz,,\n"),
              ElementsAre("2: bad: column 2 holds \"said\" and has no name; name it in the first line",
                          R"(3: {"a":"z","b":""})"));
}

TEST_F(RowFileTest, ReadsATextAsOneRow) {
  EXPECT_THAT(rows("r.txt",
                   "\xEF\xBB\xBF"
                   "one\r\ntwo\n"),
              ElementsAre(R"(1: {"text":"one\ntwo\n"})"));
  EXPECT_THAT(rows("r.txt", "one\n\xC0"), ElementsAre(HasSubstr("1: bad: line 2 is not UTF-8")));
  EXPECT_THAT(rows("r.txt", " \n"), ElementsAre());
}

TEST_F(RowFileTest, SaysHowToUnpackWhatIsNoText) {
  expect_error("r.jsonl", "\x1F\x8B\x08", "r.jsonl: this is a gzip file; unpack it: gunzip ");
  expect_error("r.json", "PK\x03\x04", "this is a zip file; unpack it: unzip ");
  expect_error("r.parquet", "PAR1", "this is a Parquet file; convert it: python3 -c \"import json, pyarrow.parquet");
  expect_error("r.csv", "\xFF\xFEx\0"s, "this is a UTF-16 file; convert it: iconv");
  expect_error("r.txt", "GGUF", "this is a GGUF file; that is a model, not a dataset");
  expect_error("r.bin", "xx", "unknown kind of file; rows come as .jsonl, .json, .csv, .tsv or .txt");
}

TEST_F(RowFileTest, ReadsRowsLongerThanItsBuffer) {
  const std::string row = R"({"a":")" + std::string(3 << 20, 'x') + "\"}";
  EXPECT_THAT(rows("r.jsonl", row + "\n" + row), ElementsAre("1: " + row, "2: " + row));
  EXPECT_THAT(rows("r.json", "[" + row + "," + row + "]"), ElementsAre("1: " + row, "1: " + row));
}

TEST_F(RowFileTest, RefusesARowBeyondItsLimit) {
  const std::string much((64 << 20) + 1, 'x');
  expect_error("r.jsonl", "{}\n" + much, "r.jsonl:2: a row of more than 64 MB; is this a file of rows?");
  expect_error("r.json", "[{},\n\"" + much + "\"]", "r.json:2: a row of more than 64 MB");
  expect_error("r.csv", "a\n\"" + much + "\"", "r.csv:2: a row of more than 64 MB; is a quote that opens here");
  expect_error("r.txt", much, "r.txt: a text of more than 64 MB; cut it into several files");
}

TEST_F(RowFileTest, FindsTheFilesOfAPath) {
  for (const char* name : {"b.jsonl", "a.json", "c.csv", "README.md", ".hidden.jsonl", "dataset_info.json"})
    directory_.write(name, "");
  std::filesystem::create_directory(directory_.path() / "more.json");
  const auto names = [&](const std::string& path, const std::vector<std::string>& data_files) {
    std::vector<std::string> out;
    for (const auto& file : find_row_files((directory_.path() / path).string(), data_files))
      out.push_back(file.filename().string());
    return out;
  };
  EXPECT_THAT(names("", {}), ElementsAre("a.json", "b.jsonl", "c.csv"));
  EXPECT_THAT(names("b.jsonl", {}), ElementsAre("b.jsonl"));
  EXPECT_THAT(names("*.js*", {}), ElementsAre("a.json", "b.jsonl", "dataset_info.json"));
  EXPECT_THAT(names("", {"c.csv", "a*"}), ElementsAre("c.csv", "a.json"));
  EXPECT_THAT([&] { names("*.x", {}); }, ThrowsMessage<Error>(HasSubstr("*.x: no file fits this pattern")));
  directory_.write("more.json/rows.parquet", "PAR1");
  EXPECT_THAT([&] { names("more.json", {}); },
              ThrowsMessage<Error>(HasSubstr("more.json: no file of rows in this folder (.jsonl, .json, .csv, .tsv, "
                                             ".txt); there are: rows.parquet; Parquet: convert it: python3")));
  directory_.write("README.txt", "");
  EXPECT_THAT(names("", {}), ElementsAre("a.json", "b.jsonl", "c.csv"));
  directory_.write("test-0.jsonl", "");
  EXPECT_THAT([&] { names("", {}); },
              ThrowsMessage<Error>(HasSubstr(" holds test-0.jsonl beside others; name the files to train on in")));
  EXPECT_THAT(names("", {"b.jsonl"}), ElementsAre("b.jsonl"));
  EXPECT_THAT([&] { names("nowhere", {"b.jsonl"}); }, ThrowsMessage<Error>(HasSubstr("nowhere: no such folder")));
  EXPECT_THAT(find_row_files("json", {(directory_.path() / "b.jsonl").string()}),
              ElementsAre(directory_.path() / "b.jsonl"));
}

}  // namespace
}  // namespace shardlora
