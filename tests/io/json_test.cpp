#include "io/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;

std::string error_of(std::string_view text) {
  try {
    parse_json(text, "data.jsonl:17");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Json, ParsesWhatNlohmannParses) {
  const std::string text = R"({"a": [1, -2, 2.5, 1e3, true, false, null, "x\u00e9\ud83d\ude00", {}, []],)"
                           R"("b": {"c": {"a": 18446744073709551615}}})";
  EXPECT_EQ(parse_json(text, "x"), nlohmann::json::parse(text));
  EXPECT_EQ(parse_ordered_json(text, "x"), nlohmann::ordered_json::parse(text));
  for (const char* scalar : {"1", "\"s\"", "null", " true "})
    EXPECT_EQ(parse_json(scalar, "x"), nlohmann::json::parse(scalar));
}

TEST(Json, KeepsTheOrderOfKeysWhereAsked) {
  EXPECT_EQ(parse_ordered_json(R"({"z":1,"a":{"y":2,"b":3}})", "x").dump(), R"({"z":1,"a":{"y":2,"b":3}})");
}

TEST(Json, NamesThePlaceOfAnError) {
  EXPECT_THAT(error_of(R"({"a": 1,])"), HasSubstr("data.jsonl:17: byte 8: "));
  EXPECT_THAT(error_of(R"({"a": 1)"), HasSubstr("data.jsonl:17: byte 7: "));
  EXPECT_THAT(error_of(""), HasSubstr("data.jsonl:17: byte 0: "));
  EXPECT_THAT(error_of(R"({"a": 1} x)"), HasSubstr("byte 9: "));
}

TEST(Json, RefusesAKeyTwice) {
  EXPECT_THAT(error_of(R"({"a": 1, "b": {"a": 1}, "a": 2})"), HasSubstr("byte 27: the key \"a\" occurs twice"));
  EXPECT_EQ(error_of(R"([{"a": 1}, {"a": 2}])"), "");
}

TEST(Json, RefusesDeepNesting) {
  EXPECT_EQ(error_of(std::string(64, '[') + std::string(64, ']')), "");
  EXPECT_THAT(error_of(std::string(65, '[') + std::string(65, ']')), HasSubstr("nested deeper than 64"));
  EXPECT_THAT(error_of(std::string(1'000'000, '[')), HasSubstr("nested deeper than 64"));
}

TEST(Json, RefusesNumbersThatItCannotHold) {
  EXPECT_THAT(error_of("[18446744073709551616]"), HasSubstr("does not fit into 64 bits"));
  EXPECT_THAT(error_of("[1e999]"), HasSubstr("number overflow"));
  EXPECT_NE(error_of("[NaN]"), "");
}

TEST(Json, RefusesTextThatIsNotUtf8) { EXPECT_THAT(error_of("[\"\xC3\x28\"]"), HasSubstr("UTF-8")); }

}  // namespace
}  // namespace shardlora
