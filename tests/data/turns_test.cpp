// Where a turn begins and ends, what of a row the template leaves out, and the seam between a prompt and its answer.
#include "data/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

#include "base/file.h"
#include "data/preview.h"
#include "data/record_tokenizer.h"
#include "data/rows/bad_rows.h"
#include "data/rows/row.h"
#include "data/sample_maker.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const Tokenizer& smollm2() {
  static const Tokenizer tokenizer = Tokenizer::open(test_model());
  return tokenizer;
}

ChatTemplate template_of_file(const std::string& name) {
  return {read_text(TEST_DATA "/chat/templates/" + name, 1 << 20), name};
}

Row row_of(const ordered_json& messages) { return {"rows.jsonl", 7, {{"messages", messages}}}; }
Row row_of(const char* messages) { return row_of(ordered_json::parse(messages)); }

// One question, a call, its result and an answer, with the tool.
Row calling_row() {
  return {"rows.jsonl", 7, ordered_json::parse(R"({"messages":[{"role":"user","content":"A room?"},
    {"role":"assistant","content":"","tool_calls":[{"id":"abcdefghi","type":"function",
      "function":{"name":"find_room","arguments":{"day":"Monday","people":3}}}]},
    {"role":"tool","name":"find_room","tool_call_id":"abcdefghi","content":"B12"},
    {"role":"assistant","content":"Take B12."}],
    "tools":[{"type":"function","function":{"name":"find_room","description":"Finds a room.",
      "parameters":{"type":"object","properties":{"day":{"type":"string"}},"required":["day"]}}}]})")};
}

struct Trained {
  std::string text;  // from the first question on
  RowNotes notes;
};
Trained trained_of(const Tokenizer& tokenizer, const ChatTemplate& chat, const Row& row, const TrainOn& what = {}) {
  Trained out;
  const Sample sample = SampleMaker(tokenizer, chat).sample_of(row, what, &out.notes);
  out.text = preview_row(sample, tokenizer, false);
  return out;
}
// What trains of it, span by span.
std::vector<std::string> spans_of(const std::string& preview) {
  const std::string open = "⟦", close = "⟧";
  std::vector<std::string> spans;
  for (std::size_t at = preview.find(open); at != std::string::npos; at = preview.find(open, at)) {
    const std::size_t end = preview.find(close, at);
    spans.push_back(preview.substr(at + open.size(), end - at - open.size()));
    at = end;
  }
  return spans;
}
std::vector<std::string> spans(const ChatTemplate& chat, const Row& row, const TrainOn& what = {}) {
  return spans_of(trained_of(smollm2(), chat, row, what).text);
}

TEST(Turns, BeginWhereTheGenerationPromptOfJinjaEnds) {
  NEEDS_TEST_MODEL();
  const ordered_json cases = ordered_json::parse(std::ifstream(TEST_DATA "/chat/conversations.json"));
  const ordered_json golden = ordered_json::parse(std::ifstream(TEST_DATA "/chat/turns.json"));
  for (const auto& [name, expected] : golden.items()) {
    const ChatTemplate chat = template_of_file(name);
    std::string source = chat.source();
    const SampleMaker maker(smollm2(), chat);
    std::size_t number = 0, checked = 0;
    for (const auto& c : cases) {
      if (c.dump().find("tool_calls") == std::string::npos) continue;
      const ordered_json& begins = expected[number++];
      if (begins.is_null()) continue;
      // Content in parts is joined where a template writes parts as they are, unlike in the golden.
      if (source.find("part") == std::string::npos &&
          c["messages"].dump().find(R"("type":"text")") != std::string::npos)
        continue;
      // The bos and eos of the golden are other ones, so the offsets of templates that write them are not ours.
      if (source.find("eos_token") != std::string::npos) continue;
      Row row{"golden", 1, {{"messages", c["messages"]}}};
      if (c.contains("tools")) row.json["tools"] = c["tools"];
      if (c.contains("variables")) row.json["chat_template_kwargs"] = c["variables"];
      RowNotes notes;
      Sample sample;
      try {
        sample = maker.sample_of(row, {}, &notes);
      } catch (const RowError&) {
        continue;  // empty answers, words beside calls that the template leaves out
      }
      const std::size_t bos = source.find("bos_token") == std::string::npos
                                  ? 0
                                  : smollm2().bytes_of(*smollm2().bos()).size() - std::string("<s>").size();
      std::vector<std::size_t> got;
      std::size_t bytes = 0;
      for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
        if (sample.trained[i] != 0 && sample.trained[i - 1] == 0) got.push_back(bytes - bos);
        bytes += smollm2().bytes_of(sample.tokens[i]).size();
      }
      bool all = true;
      for (const auto& begin : begins) {
        all = all && begin != -1;
        if (begin != -1) {
          EXPECT_THAT(got, ::testing::Contains(begin.get<std::size_t>())) << name << "\n" << row.json;
        }
      }
      EXPECT_EQ(notes.asked_otherwise.has_value(), !all) << name << "\n" << row.json;
      ++checked;
    }
    RecordProperty(name, static_cast<int>(checked));
    if (name == "chatml_tools.jinja" || name == "chatml_thoughts.jinja") {
      EXPECT_GT(checked, 15U) << name;
    }
  }
}

TEST(Turns, TrainTheOpeningOfACall) {
  NEEDS_TEST_MODEL();
  const std::string call = R"({"name": "find_room", "arguments": {"day": "Monday", "people": 3}})";
  EXPECT_THAT(spans(template_of_file("chatml_tools.jinja"), calling_row()),
              ElementsAre("<tool_call>\n" + call + "\n</tool_call><|im_end|>", "Take B12.<|im_end|>"));
  // Behind words, too, and where no end trains.
  Row row = calling_row();
  row.json["messages"][1]["content"] = "Let me look.";
  EXPECT_THAT(spans(template_of_file("chatml_tools.jinja"), row, {.eos = TrainOnEos::kNone}),
              ElementsAre("Let me look.\n<tool_call>\n" + call + "\n</tool_call>", "Take B12."));
  EXPECT_THAT(
      spans(template_of_file("inst_tools.jinja"), calling_row()),
      ElementsAre("[TOOL_CALLS] [{\"name\": \"find_room\", \"arguments\": {\"day\": \"Monday\", \"people\": 3}, "
                  "\"id\": \"abcdefghi\"}]<|im_end|>",
                  " Take B12.<|im_end|>"));
  // The call's name in front of the result is not the call's.
  std::string source = template_of_file("typed_tools.jinja").source();
  for (const auto& [theirs, ours] : std::vector<std::pair<std::string, std::string>>{
           {"<|start|>", "<|im_start|>"}, {"<|call|>", "<|im_end|>"}, {"<|return|>", "<|im_end|>"}})
    for (std::size_t at = 0; (at = source.find(theirs, at)) != std::string::npos;)
      source.replace(at, theirs.size(), ours);
  EXPECT_THAT(spans({source, "typed"}, calling_row()),
              ElementsAre(" to=functions.find_room<|channel|>commentary json<|message|>{\"day\": \"Monday\", "
                          "\"people\": 3}<|im_end|>",
                          "<|channel|>final<|message|>Take B12.<|im_end|>"));
  // These ends are no token of the model's: what closes the call trains as far as the row ends there.
  row = calling_row();
  row.json["messages"].erase(row.json["messages"].begin() + 2, row.json["messages"].end());
  row.json.erase("tools");
  EXPECT_THAT(spans(template_of_file("header_tools.jinja"), row),
              ElementsAre(R"({"name": "find_room", "parameters": {"day": "Monday", "people": 3}}<|eot_id|>)"));
}

TEST(Turns, TrainTheOpeningOfAThought) {
  NEEDS_TEST_MODEL();
  Row row = calling_row();
  row.json["messages"][3]["reasoning_content"] = "B12 is free.";
  EXPECT_THAT(spans(template_of_file("chatml_thoughts.jinja"), row)[1],
              "<think>\nB12 is free.\n</think>\n\nTake B12.<|im_end|>");
  // Asked not to think, the thought is the prompt's.
  row.json["messages"] = ordered_json::parse(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"}])");
  EXPECT_THAT(spans(template_of_file("chatml_thoughts.jinja"), row), ElementsAre("<think>\n\n</think>\n\nA<|im_end|>"));
  row.json["chat_template_kwargs"] = {{"enable_thinking", false}};
  EXPECT_THAT(spans(template_of_file("chatml_thoughts.jinja"), row), ElementsAre("A<|im_end|>"));
}

TEST(Turns, SayWhereOnlySomeRowsAreAskedInAnotherWay) {
  NEEDS_TEST_MODEL();
  const auto asked = [&](const ChatTemplate& chat, const Row& row) {
    Trained trained = trained_of(smollm2(), chat, row);
    return std::pair(trained.notes.asked_otherwise.value_or(""), spans_of(trained.text));
  };
  // Its prompt opens a thought that the row doesn't: the call's own opening trains all the same.
  const ChatTemplate thinking = template_of_file("flags.jinja");
  Row row = calling_row();
  row.json["messages"].erase(row.json["messages"].begin() + 2, row.json["messages"].end());
  auto [note, trained] = asked(thinking, row);
  EXPECT_THAT(note, ::testing::StartsWith("message 2: the prompt goes on with \"<think>\\n\", the row with "
                                          "\"<｜tool▁calls▁begin｜><｜tool"));
  EXPECT_THAT(trained, ElementsAre(HasSubstr("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>find")));
  EXPECT_EQ(asked(thinking, row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"<b>A"}])")).second,
            std::vector<std::string>{"<b>A"});
  // What an answer says trains, also where the prompt would have gone on like it.
  EXPECT_EQ(
      asked(thinking, row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"<think>A"}])")).second,
      std::vector<std::string>{"<think>A"});
  // Of an answer that doesn't train nothing is said.
  EXPECT_THAT(asked(thinking, row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A","train":false},
                                         {"role":"user","content":"V"},{"role":"assistant","content":"B"}])"))
                  .first,
              ::testing::StartsWith("message 4: the prompt"));
  // Tools stand before the last question only, so the first one is asked otherwise; its answer begins where it did.
  row = calling_row();
  const ordered_json more =
      ordered_json::parse(R"([{"role":"user","content":"V"},{"role":"assistant","content":"B"}])");
  row.json["messages"].insert(row.json["messages"].end(), more.begin(), more.end());
  std::tie(note, trained) = asked(template_of_file("inst_tools.jinja"), row);
  EXPECT_THAT(note, ::testing::StartsWith("message 2: the prompt goes on with \"[AVAILABLE_TOOLS] [{"));
  EXPECT_THAT(trained, ElementsAre(::testing::StartsWith("[TOOL_CALLS] [{"), " Take B12.<|im_end|>", " B<|im_end|>"));
  // A header that the prompt writes in another way.
  const std::string turns =
      "{% for m in messages %}{{ 'Q: ' if m.role == 'user' else 'A: ' }}{{ m.content }}<|im_end|>";
  const Row talk = row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"}])");
  std::tie(note, trained) = asked({turns + "{% endfor %}{% if add_generation_prompt %}B:{% endif %}", "t"}, talk);
  EXPECT_EQ(note, "message 2: the prompt goes on with \"B:\", the row with \"A: A<|im_end|>\"");
  EXPECT_THAT(trained, ElementsAre(" A<|im_end|>"));
  // A block that begins behind the prompt's end.
  const std::string block =
      "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}:{% else %}{{ '\n' }}{% generation %}{{ "
      "m.content "
      "}}<|im_end|>{% endgeneration %}{% endif %}{% endfor %}";
  std::tie(note, trained) = asked({block, "t"}, talk);
  EXPECT_EQ(note, "message 2: behind the prompt the row goes on with \"\\nA<|im_end|>\", which does not train");
  EXPECT_THAT(trained, ElementsAre("A<|im_end|>"));
}

TEST(Turns, EndWithTheTokenThatTheModelStopsAt) {
  NEEDS_TEST_MODEL();
  const auto chat = [](const std::string& ends) {
    return ChatTemplate("{% for m in messages %}{{ m.content }}" + ends + "{% endfor %}", "t");
  };
  const Row talk = row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"}])");
  EXPECT_THAT(spans(chat("<|im_start|><|im_end|>\n"), talk), ElementsAre("A<|im_start|><|im_end|>"));
  EXPECT_THAT(spans(chat("<|im_start|>\n<|im_end|>"), talk), ElementsAre("A<|im_start|>"));
  // What ends a call ends an answer.
  const ChatTemplate calls(
      "{% for m in messages %}{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}"
      "{{ '<|im_start|>' if m.tool_calls else '<|im_end|>' }}{% endfor %}",
      "t");
  EXPECT_THAT(SampleMaker(smollm2(), calls).ends(), ::testing::Contains(*smollm2().id_of("<|im_start|>")));
}

TEST(Turns, AreRefusedWhereTheTemplateLeavesOutWhatShouldTrain) {
  NEEDS_TEST_MODEL();
  const auto refused = [&](const ChatTemplate& chat, const Row& row, const char* why) {
    EXPECT_THAT([&] { trained_of(smollm2(), chat, row); }, ThrowsMessage<RowError>(HasSubstr(why))) << row.json;
  };
  const ChatTemplate own(smollm2().chat_template(), "own");
  Row row = calling_row();
  refused(own, row, "message 2: the chat template writes call 1 (\"find_room\") nowhere");
  row.json["messages"][1]["content"] = "Let me look.";
  refused(own, row, "message 2: the chat template writes call 1 (\"find_room\") nowhere");
  refused(template_of_file("inst_tools.jinja"), row, "message 2: the chat template writes content nowhere");
  row.json["messages"][1].erase("content");
  ordered_json& calls = row.json["messages"][1]["tool_calls"];
  calls.push_back(calls[0]);
  refused(template_of_file("flags.jinja"), row,
          "message 2: the chat template writes the arguments of call 2 (\"find_room\") nowhere");
  refused(own, row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A","reasoning_content":"R"}])"),
          "message 2: the chat template writes reasoning_content nowhere");
  refused(own, row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A",
                      "function_call":{"name":"f","arguments":"{}"}}])"),
          "call 1 (\"f\") nowhere");
  const ChatTemplate names(
      "{% for m in messages %}{{ m.content }}{{ m.function_call.name if m.function_call }}{{ "
      "m.tool_calls[0].function.name "
      "if m.tool_calls }}{% endfor %}",
      "t");
  for (const char* call : {R"("function_call":{"name":"f","arguments":"{\"x\":1}"})",
                           R"("tool_calls":[{"function":{"name":"f","arguments":"{\"x\":1}"}}])"})
    refused(names,
            row_of((std::string(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A",)") + call + "}]")
                       .c_str()),
            "the arguments of call 1 (\"f\") nowhere");
  // The first name says nothing, the second is not written.
  refused(own, row_of(R"([{"role":"user","content":"U"},
                      {"role":"assistant","content":"A","reasoning_content":"","thinking":"R"}])"),
          "message 2: the chat template writes thinking nowhere");
  const ChatTemplate nothing_of_it("{% for m in messages %}{{ m.reasoning_content[:0] }}{{ m.content }}{% endfor %}",
                                   "t");
  refused(nothing_of_it, row_of(R"([{"role":"user","content":"U","reasoning_content":""},
                      {"role":"assistant","content":"A","reasoning_content":"R"}])"),
          "message 2: the chat template writes reasoning_content nowhere");
}

TEST(Turns, SayWhatTheTemplateLeavesOutThatDoesNotTrain) {
  NEEDS_TEST_MODEL();
  const auto left_out = [&](const ChatTemplate& chat, const Row& row) {
    return trained_of(smollm2(), chat, row).notes.left_out.value_or("");
  };
  EXPECT_EQ(left_out(template_of_file("chatml_tools.jinja"), calling_row()), "");
  Row row = calling_row();
  row.json["messages"][1]["train"] = false;
  row.json["messages"][1]["content"] = "Let me look.";
  const ChatTemplate own(smollm2().chat_template(), "own");
  EXPECT_EQ(left_out(own, row), "message 2: call 1 (\"find_room\")");
  row.json["messages"][1].erase("tool_calls");
  EXPECT_EQ(left_out(own, row), "tools");
  row = row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A","reasoning_content":"R"},
                   {"role":"user","content":"V"},{"role":"assistant","content":"B","reasoning_content":"S"}])");
  EXPECT_EQ(left_out(template_of_file("chatml_thoughts.jinja"), row),
            "message 2: reasoning_content, which it writes in a last answer only");
  row.json["messages"][1]["train"] = false;
  EXPECT_EQ(left_out(template_of_file("chatml_thoughts.jinja"), row), "");
}

// What is encoded before the seam is the prompt's own ids, what comes behind it the answer's.
void expect_seam(const Tokenizer& tokenizer, const Sample& sample, std::vector<std::int32_t> prompt,
                 const std::string& answer) {
  const std::size_t begin = prompt.size();
  for (const Token& token : tokenizer.encode(answer)) prompt.push_back(token.id);
  prompt.push_back(tokenizer.eos());
  ASSERT_LE(prompt.size(), sample.tokens.size());
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    EXPECT_EQ(sample.tokens[i], prompt[i]) << i;
    EXPECT_EQ(sample.trained[i], i < begin ? 0 : 1) << i;
  }
}

TEST(Seam, TrainsTheWholeCompletion) {
  NEEDS_TEST_MODEL();
  const RecordTokenizer records(smollm2(), "none");
  for (const auto& [asked, answer] : std::vector<std::pair<std::string, std::string>>{
           {"inter", "national"}, {"Answer: ", "yes"}, {"Answer:\n", "\n\nyes"}, {"x", "  y"}, {"don", "'t"}}) {
    const Record record = PlainText{{{asked}, {answer, true, true}}};
    std::vector<std::int32_t> prompt;
    for (const Token& token : smollm2().encode(asked)) prompt.push_back(token.id);
    const std::vector<Sample> samples = records.samples_of({"r", 1, {}}, record, {});
    expect_seam(smollm2(), samples[0], prompt, answer);
    EXPECT_EQ(preview_row(samples[0], smollm2(), false), asked + "⟦" + answer + "<|im_end|>⟧\n");
    EXPECT_TRUE(samples[0].ends);
    EXPECT_EQ(records.prompt_of({"r", 1, {}}, record).tokens, prompt);
  }
  for (const char* nothing : {"", " \n"}) {
    EXPECT_THAT([&] { records.samples_of({"r", 1, {}}, PlainText{{{"Q"}, {nothing, true, true}}}, {}); },
                ThrowsMessage<RowError>(HasSubstr("an empty answer")));
  }
}

TEST(Seam, TrainsAnswersThatBeginWithLineEnds) {
  NEEDS_TEST_MODEL();
  const ChatTemplate own(smollm2().chat_template(), "own");
  const SampleMaker maker(smollm2(), own);
  for (const std::string answer : {"\n\nYes", "\nYes", " Yes", "\t\nYes", "\u3000Yes"}) {
    const Row row = row_of({{{"role", "user"}, {"content", "U"}}, {{"role", "assistant"}, {"content", answer}}});
    expect_seam(smollm2(), maker.sample_of(row), maker.prompt_of(row).tokens, answer);
  }
}

// Where a text gets a blank in front at its beginning, what goes on behind a seam does not.
TEST(Seam, PutsNothingInFrontOfWhatGoesOn) {
  const std::filesystem::path folder = std::filesystem::path(TEST_DATA) / "../../../shared/data/tokenizers/llama2";
  if (!std::filesystem::exists(folder)) {
    if (in_ci()) FAIL() << folder << " is missing";
    GTEST_SKIP() << "no tokenizers at " << folder;
  }
  const Tokenizer tokenizer = Tokenizer::open(folder);
  const RecordTokenizer records(tokenizer, "none");
  const auto shown = [&](const std::string& asked, const std::string& answer) {
    const Sample sample =
        records.samples_of({"r", 1, {}}, PlainText{{{asked}, {answer, true, true}}, false}, {}).front();
    std::vector<std::string> tokens;
    for (std::size_t i = 0; i < sample.tokens.size(); ++i)
      tokens.push_back((sample.trained[i] != 0 ? "+" : "") + std::string(tokenizer.bytes_of(sample.tokens[i])));
    return tokens;
  };
  EXPECT_THAT(shown("Answer: ", "yes"), ElementsAre(" Answer", ":", " ", "+yes", "+</s>"));
  EXPECT_THAT(shown("Answer:", " yes"), ElementsAre(" Answer", ":", "+ yes", "+</s>"));
  EXPECT_THAT(shown("inter", "national"), ElementsAre(" inter", "+n", "+ational", "+</s>"));
}

TEST(Turns, OfRealFamiliesTrainTheirCalls) {
  const std::filesystem::path folder = std::filesystem::path(TEST_DATA) / "../../../shared/data/tokenizers";
  if (!std::filesystem::exists(folder)) {
    if (in_ci()) FAIL() << folder << " is missing";
    GTEST_SKIP() << "no tokenizers at " << folder;
  }
  const auto spans_by = [&](const char* family, const TemplateChoice& choice) {
    const Tokenizer tokenizer = Tokenizer::open(folder / family);
    const Trained trained = trained_of(tokenizer, chat_template_of(tokenizer, choice), calling_row());
    EXPECT_EQ(trained.notes.asked_otherwise, std::nullopt);
    EXPECT_EQ(trained.notes.left_out, std::nullopt);
    return spans_of(trained.text);
  };
  EXPECT_THAT(
      spans_by("qwen3", {}),
      ElementsAre("<tool_call>\n{\"name\": \"find_room\", \"arguments\": {\"day\": \"Monday\", \"people\": 3}}\n"
                  "</tool_call><|im_end|>",
                  "<think>\n\n</think>\n\nTake B12.<|im_end|>"));
  EXPECT_THAT(spans_by("llama3_1", {TEST_DATA "/chat/templates/header_tools.jinja", ""}),
              ElementsAre("{\"name\": \"find_room\", \"parameters\": {\"day\": \"Monday\", \"people\": 3}}<|eot_id|>",
                          "Take B12.<|eot_id|>"));
}

}  // namespace
}  // namespace shardlora
