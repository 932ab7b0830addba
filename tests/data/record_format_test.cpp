#include "data/formats/record_format.h"
#include "data/formats/roles.h"
#include "data/rows/bad_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace shardlora {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string messages_of(const std::string& row, const DatasetSource& source = {}) {
  return std::get<Conversation>(read_conversation(ordered_json::parse(row), source)).json.dump();
}

TEST(RecordFormat, ReadsShareGptByItsKeys) {
  EXPECT_EQ(messages_of(R"({"conversations":[{"from":"human","value":"U"},{"from":"gpt","value":"A"}],"system":"S"})"),
            R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},)"
            R"({"role":"assistant","content":"A"}]})");
  EXPECT_EQ(messages_of(R"({"conversations":[{"from":"human","value":"U"},
      {"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
      {"from":"observation","value":"1"},{"from":"gpt","value":"A"}],"tools":"[]"})"),
            R"({"messages":[{"role":"user","content":"U"},{"role":"assistant","content":"","tool_calls":)"
            R"([{"type":"function","function":{"name":"f","arguments":{"x":1}}}]},{"role":"tool","content":"1"},)"
            R"({"role":"assistant","content":"A"}]})");
}

TEST(RecordFormat, ReadsConversationsAsTheRecipeMapsThem) {
  DatasetSource source;
  source.field_messages = "talk";
  source.message_field_role = "who";
  source.message_field_content = "says";
  source.field_system = "setting";
  source.field_tools = "functions";
  source.roles = {{"assistant", {"bot"}}, {"critic", {"critic"}}};
  EXPECT_EQ(messages_of(R"({"talk":[{"who":"human","says":"U"},{"who":"bot","says":"A","weight":0},
      {"who":"critic","says":"C"}],"setting":"S","functions":[{}]})",
                        source),
            R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},)"
            R"({"role":"assistant","content":"A","weight":0},{"role":"critic","content":"C"}],"tools":[{}]})");
  EXPECT_THAT([&] { messages_of(R"({"messages":[]})", source); },
              ThrowsMessage<RowError>(HasSubstr("\"talk\" (field_messages) is missing; the row has messages")));
}

TEST(RecordFormat, KnowsRolesByTheRecipesNamesFirst) {
  DatasetSource source;
  source.roles = {{"critic", {"c"}}, {"user", {"gpt"}}};
  EXPECT_EQ(template_role("c", source), "critic");
  EXPECT_EQ(template_role("critic", source), "critic");
  EXPECT_EQ(template_role("gpt", source), "user");
  EXPECT_EQ(template_role("human", source), "user");
  EXPECT_EQ(template_role("model", source), "assistant");
  EXPECT_EQ(template_role("nobody", source), std::nullopt);
}

TEST(RecordFormat, TakesWhatMessagesMayHold) {
  EXPECT_EQ(messages_of(R"({"messages":[{"role":"user","content":[{"type":"text","text":"x"}]},
      {"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}],"more":1})"),
            R"({"messages":[{"role":"user","content":[{"type":"text","text":"x"}]},)"
            R"({"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}]})");
  EXPECT_EQ(messages_of(R"({"messages":" \n[{\"role\":\"user\",\"content\":\"x\"}]"})"),
            R"({"messages":[{"role":"user","content":"x"}]})");
}

TEST(RecordFormat, SaysWhatIsWrongWithAConversation) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"{}", "\"messages\" is missing; the row has no keys; a row needs \"messages\""},
      {R"({"messages": []})", "\"messages\" must be a list with at least one message"},
      {R"({"messages": "hi"})", "\"messages\" must be a list"},
      {R"({"messages": "[hi"})", "\"messages\": byte 1: "},
      {R"({"messages": ["hi"]})", "message 1: not a JSON object"},
      {R"({"messages": [{"content": "x"}]})", "message 1: role is missing; it has content"},
      {R"({"messages": [{"role": 1, "content": "x"}]})", "message 1: role must be text, not number"},
      {R"({"messages": [{"role": "user"}]})", "message 1: content is missing"},
      {R"({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": null}]})",
       "message 2: content is missing"},
      {R"({"messages": [{"role": "user", "content": 5}]})", "message 1: content must be text, not number"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image"}]}]})",
       "message 1: part 1 of its content is of type \"image\""},
      {R"({"messages": [{"role": "narrator", "content": "x"}]})",
       "message 1: unknown role \"narrator\"; if it is meant, name it in the dataset's roles: {user: [\"narrator\"]}"},
      {R"({"conversations": [{"from": "human", "value": "x"}, {"role": "assistant", "content": "y"}]})",
       "message 2: from is missing; it has role, content"},
      {R"({"conversations": [{"from": "function_call", "value": "f x"}]})", "message 1: function_call: byte "},
      {R"({"conversations": [{"from": "function_call", "value": "{}"}]})", "message 1: call 1 has no name"},
  };
  for (const auto& [row, reason] : rows)
    EXPECT_THAT([&] { messages_of(row); }, ThrowsMessage<RowError>(HasSubstr(reason))) << row;
}

std::string text_of(const Record& record) {
  std::string out;
  for (const Piece& piece : std::get<PlainText>(record).pieces)
    out += (piece.trained ? "[" : "") + piece.text + (piece.ends ? "$" : "") + (piece.trained ? "]" : "");
  return out;
}

TEST(RecordFormat, WritesAlpacaAsStanfordDid) {
  EXPECT_EQ(text_of(read_alpaca({{"instruction", "Add."}, {"input", "1 2"}, {"output", "3"}}, {})),
            "Below is an instruction that describes a task, paired with an input that provides further context. Write "
            "a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### "
            "Response:[3$]");
  const std::string without =
      "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
      "### Instruction:\nSay hi.\n\n### Response:[Hi$]";
  EXPECT_EQ(text_of(read_alpaca({{"instruction", "Say hi."}, {"input", ""}, {"output", "Hi"}}, {})), without);
  EXPECT_EQ(text_of(read_alpaca({{"instruction", "Say hi."}, {"input", nullptr}, {"output", "Hi"}}, {})), without);
  EXPECT_EQ(text_of(read_alpaca({{"instruction", "Say hi."}, {"output", "Hi"}}, {})), without);
  EXPECT_EQ(text_of(read_alpaca({{"instruction", "C"},
                                 {"output", "D"},
                                 {"system", "Be brief."},
                                 {"history", ordered_json::parse(R"([["A", "B"]])")}},
                                {})),
            "Be brief.\n\n### Instruction:\nA\n\n### Response:[B$]\n\n### Instruction:\nC\n\n### Response:[D$]");
  EXPECT_THAT([] { read_alpaca({{"instruction", "x"}, {"answer", "y"}}, {}); },
              ThrowsMessage<RowError>(HasSubstr("\"output\" is missing; the row has instruction, answer")));
  EXPECT_THAT([] { read_alpaca({{"instruction", "x"}, {"output", 3}}, {}); },
              ThrowsMessage<RowError>(HasSubstr("\"output\" must be text, not number")));
  EXPECT_THAT([] { read_alpaca({{"instruction", "x"}, {"output", "y"}, {"history", {"A"}}}, {}); },
              ThrowsMessage<RowError>(HasSubstr("\"history\" must be a list of [instruction, output]")));
}

TEST(RecordFormat, ReadsTextsAndSegments) {
  EXPECT_EQ(text_of(read_completion({{"text", "T"}}, {})), "[T$]");
  DatasetSource source;
  source.field = "body";
  EXPECT_EQ(text_of(read_completion({{"text", "T"}, {"body", "B"}}, source)), "[B$]");
  EXPECT_THROW(read_completion({{"text", ""}}, {}), RowError);
  EXPECT_EQ(text_of(read_prompt_completion({{"prompt", "P"}, {"completion", "C"}}, {})), "P[C$]");

  const auto segments = ordered_json::parse(R"({"segments":[{"text":"a","label":false},{"text":"b","label":true}]})");
  const auto pieces = std::get<Segments>(read_segments(segments, {})).pieces;
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[1].text, "b");
  EXPECT_TRUE(pieces[1].trained);
  EXPECT_FALSE(pieces[0].trained || pieces[1].ends);
  for (const char* row : {R"({"text":"x"})", R"({"segments":[]})", R"({"segments":[{"text":"a"}]})",
                          R"({"segments":[{"label":true}]})", R"({"segments":[{"text":"a","label":1}]})"})
    EXPECT_THROW(read_segments(ordered_json::parse(row), {}), RowError) << row;
}

TEST(RecordFormat, ReadsPromptsAndCompletionsOfMessages) {
  const auto row = ordered_json::parse(R"({"prompt":[{"role":"user","content":"U"},{"role":"assistant","content":"x"}],
      "completion":[{"role":"assistant","content":"A"}]})");
  EXPECT_EQ(std::get<Conversation>(read_prompt_completion(row, {})).json.dump(),
            R"({"messages":[{"role":"user","content":"U","train":false},{"role":"assistant","content":"x",)"
            R"("train":false},{"role":"assistant","content":"A"}]})");
}

TEST(RecordFormat, ReadsTokens) {
  const auto row =
      ordered_json::parse(R"({"input_ids":[5,6,7,0],"labels":[-100,6,7,-100],"attention_mask":[1,1,1,0]})");
  const auto tokens = std::get<TokenRow>(read_token_row(row, {}));
  EXPECT_THAT(tokens.ids, ::testing::ElementsAre(5, 6, 7));
  EXPECT_THAT(tokens.trained, ::testing::ElementsAre(0, 1, 1));
  EXPECT_THAT(std::get<TokenRow>(read_token_row({{"input_ids", {5, 6}}}, {})).trained, ::testing::ElementsAre(1, 1));
  for (const char* bad : {R"({"input_ids":[1],"labels":[1,2]})", R"({"input_ids":[1,2],"labels":[-100,1]})",
                          R"({"input_ids":[-1]})", R"({"input_ids":[1.5]})", R"({"input_ids":"1"})"})
    EXPECT_THROW(read_token_row(ordered_json::parse(bad), {}), RowError) << bad;
}

TEST(RecordFormat, IsRecognisedByTheKeysOfARow) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {R"({"messages": []})", "chat_template"},
      {R"({"id": 1, "conversations": []})", "chat_template"},
      {R"({"instruction": "", "input": "", "output": "", "text": ""})", "alpaca"},
      {R"({"text": ""})", "completion"},
      {R"({"segments": []})", "input_output"},
      {R"({"prompt": "", "completion": "", "text": ""})", "prompt_completion"},
      {R"({"input_ids": []})", "pre_tokenized"},
  };
  for (const auto& [row, name] : rows)
    EXPECT_EQ(recognise_record_format({"r.jsonl", 1, ordered_json::parse(row)}, {}).name, name) << row;
  EXPECT_THAT([] { recognise_record_format({"r.jsonl", 3, {{"question", ""}, {"answer", ""}}}, {}); },
              ThrowsMessage<Error>(HasSubstr("r.jsonl:3: what is in this row isn't known; its keys are question, "
                                             "answer. Rename the keys as one of these has them:\n  chat_template")));
  EXPECT_THAT([] { recognise_record_format({"r.jsonl", 3, {{"prompt", ""}, {"chosen", ""}, {"rejected", ""}}}, {}); },
              ThrowsMessage<Error>(HasSubstr("preference training")));
}

TEST(RecordFormat, GoesByTheNamesThatRecipesUse) {
  for (const char* name : {"chat_template", "messages", "openai", "sharegpt", "chat_template.default"})
    EXPECT_EQ(find_record_format(name)->name, "chat_template");
  EXPECT_EQ(find_record_format("frob"), nullptr);
}

}  // namespace
}  // namespace shardlora
