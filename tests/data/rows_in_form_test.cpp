// Rows as people really have them come to the template in the form that it expects: goldens of Jinja2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

#include "base/file.h"
#include "data/formats/dataset_rows.h"
#include "data/formats/json_forms.h"
#include "data/message_style.h"
#include "data/rows/bad_rows.h"
#include "data/sample_maker.h"
#include "data/template/template_input.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// The first row of a file of these bytes, read as datasets are.
ordered_json read_row(const std::string& bytes) {
  const TemporaryDirectory directory;
  DatasetSource source{.path = directory.write("rows.jsonl", bytes).string()};
  DatasetRows rows(source);
  const std::vector<RawRow> batch = rows.next_batch();
  return std::get<Conversation>(rows.record(rows.row(batch.front()))).json;
}

TEST(RowsInForm, AreRenderedAsJinjaRendersTheFormThatTemplatesExpect) {
  NEEDS_TEST_MODEL();
  const Tokenizer tokenizer = Tokenizer::open(test_model());
  const ordered_json golden = ordered_json::parse(std::ifstream(TEST_DATA "/chat/rows.json"));
  std::size_t checked = 0;
  for (const auto& c : golden["cases"]) {
    const ordered_json row = read_row(c["row"].dump());
    for (const auto& [name, expected] : c["texts"].items()) {
      const auto own = golden["templates"].find(name);
      const ChatTemplate chat(own != golden["templates"].end()
                                  ? own->get<std::string>()
                                  : read_text(TEST_DATA "/chat/templates/" + name, 1 << 20),
                              name);
      std::string text;
      for (const std::int32_t id : SampleMaker(tokenizer, chat).sample_of({"rows.jsonl", 1, row}).tokens)
        text += tokenizer.bytes_of(id);
      EXPECT_EQ(text, expected.get<std::string>()) << name << "\n" << c["row"].dump();
      ++checked;
    }
  }
  EXPECT_GE(checked, 60U);
}

TEST(RowsInForm, AreRefusedWhereAPartOfThemCannotBeBroughtToIt) {
  const std::string asked = R"({"role":"user","content":"U"},)";
  const auto refused = [&](const std::string& messages, const std::string& why) {
    EXPECT_THAT([&] { read_row(R"({"messages":[)" + messages + "]}"); }, ThrowsMessage<RowError>(HasSubstr(why)))
        << messages;
  };
  refused(R"({"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"u"}}]})",
          "message 1: part 2 of its content is of type \"image_url\"; only parts {\"type\": \"text\"");
  refused(R"({"role":"user","content":[{"type":"image","text":null}]})", "part 1 of its content is of type \"image\"");
  refused(R"({"role":"user","content":[{"type":"text","text":null}]})", "part 1 of its content is no text");
  refused(R"({"role":"user","content":[3]})", "part 1 of its content is no text");
  refused(R"({"role":"user","content":{"type":"text","text":"x"}})", "message 1: content must be text, not object");
  refused(asked + R"({"role":"assistant","content":null})", "message 2: content is missing");
  refused(asked + R"({"role":"assistant","content":null,"tool_calls":[]})", "message 2: content is missing");
  const auto call = [&](const std::string& call) {
    return asked + R"({"role":"assistant","content":"","tool_calls":)" + call + "}";
  };
  refused(call(R"([{"function":{"name":"f","arguments":"{\"a\": "}}])"), "message 2: call 1: arguments: byte 6");
  refused(call(R"([{"function":{"name":"f","arguments":"[1]"}}])"),
          "message 2: call 1: arguments must be an object, or its JSON as text, not array");
  refused(call(R"([{"function":{"name":"f","arguments":3}}])"),
          "arguments must be an object, or its JSON as text, not number");
  refused(call(R"([{"function":{"name":null,"arguments":{}}}])"), "message 2: call 1 has no name");
  refused(call(R"([{"function":[]}])"), "message 2: call 1: function must be an object, not array");
  refused(call(R"(["f"])"), "message 2: tool_calls 1: byte ");
  refused(call(R"(true)"), "message 2: tool_calls must be a list, not boolean");
  const auto tools = [&](const std::string& tools, const std::string& why) {
    EXPECT_THAT([&] { read_row(R"({"messages":[{"role":"user","content":"U"}],"tools":)" + tools + "}"); },
                ThrowsMessage<RowError>(HasSubstr(why)));
  };
  tools(R"("[{")", "tools: byte ");
  tools(R"(["{}", 3])", "tools 2 must be an object, not number");
  tools(R"([{"function":{"name":"f","parameters":"{"}}])", "tools 1: parameters: byte ");
  EXPECT_THAT([&] { read_row(R"({"messages":[{"role":"user","content":"U"}],"chat_template_kwargs":[1]})"); },
              ThrowsMessage<RowError>(HasSubstr("chat_template_kwargs must be an object, not array")));
}

TEST(RowsInForm, TakeOlderAndFlatterSpellingsOfCalls) {
  const auto second = [](const std::string& message, const std::string& more = "") {
    return read_row(R"({"messages":[{"role":"user","content":"U"},)" + message + "]" + more + "}");
  };
  const std::string call = R"([{"type":"function","function":{"name":"f","arguments":{"a":1}}}])";
  const auto old = second(R"({"role":"assistant","content":null,"function_call":{"name":"f","arguments":{"a":1}}})",
                          R"(,"functions":[{"name":"f","parameters":{}}])");
  EXPECT_EQ(old["messages"][1]["tool_calls"].dump(), call);
  EXPECT_FALSE(old["messages"][1].contains("function_call"));
  EXPECT_EQ(old["tools"].dump(), R"([{"type":"function","function":{"name":"f","parameters":{}}}])");
  EXPECT_EQ(
      second(R"({"role":"assistant","tool_calls":[{"name":"f","arguments":{"a":1}}]})")["messages"][1]["tool_calls"]
          .dump(),
      call);
  EXPECT_EQ(
      second(
          R"({"role":"function_call","content":"[{\"name\":\"f\",\"arguments\":{\"a\":1}}]","weight":0})")["messages"]
                                                                                                          [1]
                                                                                                              .dump(),
      R"({"role":"assistant","content":"","tool_calls":)" + call + R"(,"weight":0})");
  // A text in a text, and texts as parts.
  EXPECT_EQ(second(R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"\"{\\\"a\\\":1}\""}}]})")
                ["messages"][1]["tool_calls"][0]["function"]["arguments"]
                    .dump(),
            R"({"a":1})");
  EXPECT_EQ(
      second(R"({"role":"assistant","content":["a",{"text":"b"},{"type":"output_text","text":"c","annotations":[]}]})")
          ["messages"][1]["content"]
              .dump(),
      R"([{"type":"text","text":"a"},{"type":"text","text":"b"},{"type":"text","text":"c"}])");
}

TEST(RowsInForm, LoseNullsUnderKeysOnly) {
  ordered_json row = ordered_json::parse(R"({"a":null,"b":[null,{"c":null,"d":{"e":null}}],"f":0,"g":"","h":null})");
  remove_null_keys(row);
  EXPECT_EQ(row.dump(), R"({"b":[null,{"d":{}}],"f":0,"g":""})");
}

}  // namespace
}  // namespace shardlora
