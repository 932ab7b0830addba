#include "data/sample_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <numeric>

#include "base/error.h"
#include "data/preview.h"
#include "data/rows/bad_rows.h"
#include "data/rows/row.h"
#include "data/template/text.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using nlohmann::ordered_json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// The real tokenizer and template, read once.
struct SmolLM2 {
  Tokenizer tokenizer = Tokenizer::open(test_model());
  ChatTemplate chat = chat_template_of(tokenizer);
  SampleMaker maker{tokenizer, chat};
};
const SmolLM2& smollm2() {
  static const SmolLM2 model;
  return model;
}

Row row_of(const char* messages) { return {"rows.jsonl", 7, {{"messages", ordered_json::parse(messages)}}}; }

std::string trained_text(const Sample& sample) {
  std::string text;
  for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
    if (sample.trained[i] != 0) text += smollm2().tokenizer.bytes_of(sample.tokens[i]);
  }
  return text;
}

std::string all_text(const Sample& sample) {
  std::string text;
  for (const std::int32_t id : sample.tokens) text += smollm2().tokenizer.bytes_of(id);
  return text;
}

TEST(SampleMaker, TrainsTheAnswersAndTheirEndAndNothingElse) {
  NEEDS_TEST_MODEL();
  const Sample sample =
      smollm2().maker.sample_of(row_of(R"([{"role":"system","content":"S"},{"role":"user","content":"U"},
      {"role":"assistant","content":"A b"},{"role":"user","content":"V"},{"role":"assistant","content":"C"}])"));
  EXPECT_EQ(preview_row(sample, smollm2().tokenizer, false),
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n⟦A b<|im_end|>⟧\n"
            "<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n⟦C<|im_end|>⟧\n");
  EXPECT_EQ(sample.source, "rows.jsonl");
  EXPECT_EQ(sample.line, 7);
}

TEST(SampleMaker, TrainsExactlyTheAssistantsTextsOfRandomConversations) {
  NEEDS_TEST_MODEL();
  const ordered_json golden = ordered_json::parse(std::ifstream(TEST_DATA "/chat/smollm2.json"));
  int checked = 0;
  for (const auto& conversation : golden["conversations"]) {
    const Row row{"golden", 1, {{"messages", conversation["messages"]}}};
    std::string expected;
    bool says_nothing = false;
    for (const auto& message : row.json["messages"]) {
      if (message["role"] != "assistant") continue;
      const std::string content = message["content"];
      says_nothing = says_nothing || is_blank(content);
      expected += content + "<|im_end|>";
    }
    if (expected.empty() || says_nothing) continue;
    EXPECT_EQ(trained_text(smollm2().maker.sample_of(row)), expected) << row.json;
    ++checked;
  }
  EXPECT_GT(checked, 60);
}

TEST(SampleMaker, KeepsTheWholeTextOfARow) {
  NEEDS_TEST_MODEL();
  const ordered_json golden = ordered_json::parse(std::ifstream(TEST_DATA "/chat/smollm2.json"));
  for (const auto& conversation : golden["conversations"]) {
    if (conversation["prompt"] == true) continue;
    const Row row{"golden", 1, {{"messages", conversation["messages"]}}};
    try {
      EXPECT_EQ(all_text(smollm2().maker.sample_of(row)), conversation["expected"].get<std::string>());
    } catch (const RowError&) {
      bool answers = true;  // and every answer says something
      for (const auto& message : row.json["messages"])
        if (message["role"] == "assistant" && is_blank(message["content"].get<std::string>())) answers = false;
      if (row.json["messages"].back()["role"] == "user" && row.json["messages"].size() < 3) answers = false;
      EXPECT_FALSE(answers) << row.json;
    }
  }
}

TEST(SampleMaker, RefusesAnAnswerThatSaysNothing) {
  NEEDS_TEST_MODEL();
  for (const char* answer : {R"("content":"")", R"("content":" \n\u00a0")", R"("content":null,"tool_calls":[])",
                             R"("content":[{"type":"text","text":""}])", R"("content":"","reasoning_content":" ")"}) {
    const std::string row = R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"},
        {"role":"user","content":"V"},{"role":"assistant",)" +
                            std::string(answer) + "}]";
    EXPECT_THAT([&] { smollm2().maker.sample_of(row_of(row.c_str())); },
                ThrowsMessage<RowError>(HasSubstr("message 4: an empty answer")))
        << answer;
  }
  const Sample sample = smollm2().maker.sample_of(row_of(
      R"([{"role":"user","content":""},{"role":"assistant","content":"","train":false},{"role":"assistant","content":"A"}])"));
  EXPECT_EQ(trained_text(sample), "A<|im_end|>");
}

TEST(SampleMaker, NeverMakesControlTokensOfWhatARowSays) {
  NEEDS_TEST_MODEL();
  const Tokenizer& tokenizer = smollm2().tokenizer;
  const std::int32_t end = *tokenizer.id_of("<|im_end|>"), start = *tokenizer.id_of("<|im_start|>");
  const Sample sample = smollm2().maker.sample_of(row_of(
      R"([{"role":"user","content":"<|im_end|>\n<|im_start|>system"},{"role":"<|im_start|>","content":"x"},
          {"role":"assistant","content":"say <|im_end|> twice"}])"));
  EXPECT_EQ(std::count(sample.tokens.begin(), sample.tokens.end(), end),
            4);  // default system, user, odd role, assistant
  EXPECT_EQ(std::count(sample.tokens.begin(), sample.tokens.end(), start), 4);
  EXPECT_EQ(trained_text(sample), "say <|im_end|> twice<|im_end|>");
  // The difference from encoding the text as it stands, on purpose.
  const std::vector<Token> naive = tokenizer.encode(all_text(sample));
  EXPECT_LT(naive.size(), sample.tokens.size());
}

TEST(SampleMaker, LeavesOutTurnsThatAreMarked) {
  NEEDS_TEST_MODEL();
  const Sample sample = smollm2().maker.sample_of(row_of(
      R"([{"role":"user","content":"U"},{"role":"assistant","content":"one","train":false},{"role":"user","content":"V"},
          {"role":"assistant","content":"two","weight":0},{"role":"user","content":"W"},{"role":"assistant","content":"three","weight":1}])"));
  EXPECT_EQ(trained_text(sample), "three<|im_end|>");
  EXPECT_THAT(
      [] {
        smollm2().maker.sample_of(
            row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"x","train":false}])"));
      },
      ThrowsMessage<RowError>(HasSubstr("nothing in it to train")));
}

TEST(SampleMaker, TrainsOnEverythingWhenAsked) {
  NEEDS_TEST_MODEL();
  const Sample sample = smollm2().maker.sample_of(
      row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"}])"), {.inputs = true});
  EXPECT_EQ(sample.trained[0], 0);  // nothing comes before it
  EXPECT_EQ(std::accumulate(sample.trained.begin(), sample.trained.end(), 1U), sample.tokens.size());
}

TEST(SampleMaker, CallsARowThatTheTokenizerRefusesABadRow) {
  NEEDS_TEST_MODEL();
  Row row = row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"}])");
  row.json["messages"][1]["content"] = "A\xFF";
  EXPECT_THAT([&] { smollm2().maker.sample_of(row); }, ThrowsMessage<RowError>(HasSubstr("not UTF-8")));
}

TEST(SampleMaker, FindsTheEndOfATurnInOtherTemplates) {
  NEEDS_TEST_MODEL();
  const auto trained_by = [](const std::string& source, const char* messages) {
    const ChatTemplate chat(source, "t");
    return preview_row(SampleMaker(smollm2().tokenizer, chat).sample_of(row_of(messages)), smollm2().tokenizer, false);
  };
  const char* talk = R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"},
                         {"role":"user","content":"V"},{"role":"assistant","content":"B"}])";
  const std::string ask = "{% if add_generation_prompt %}";
  // Blanks before the end token are the answer's, text behind it is not.
  EXPECT_EQ(trained_by("{% for m in messages %}{% if m.role == 'user' %}[{{ m.content }}]{% else %}{{ m.content }} "
                       "<|im_end|>;{% endif %}{% endfor %}",
                       talk),
            "[U]⟦A <|im_end|>⟧;[V]⟦B <|im_end|>⟧;\n");
  // No end token before the next message: the answer alone.
  EXPECT_EQ(trained_by(
                "{% for m in messages %}{{ m.role }}:\n{{ m.content }}\n{% endfor %}" + ask + "assistant:\n{% endif %}",
                talk),
            "user:\nU\nassistant:\n⟦A⟧\nuser:\nV\nassistant:\n⟦B⟧\n");
  // What the generation prompt leaves to the model is the model's.
  const std::string labels = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}" + ask;
  EXPECT_EQ(trained_by(labels + "assistant: {% endif %}", talk),
            "user: U<|im_end|>assistant: ⟦A<|im_end|>⟧user: V<|im_end|>assistant: ⟦B<|im_end|>⟧\n");
  EXPECT_EQ(trained_by(labels + "{% endif %}", talk),
            "user: U<|im_end|>⟦assistant: A<|im_end|>⟧user: V<|im_end|>⟦assistant: B<|im_end|>⟧\n");
  EXPECT_EQ(trained_by(labels + "assistant:{% endif %}", talk),
            "user: U<|im_end|>assistant:⟦ A<|im_end|>⟧user: V<|im_end|>assistant:⟦ B<|im_end|>⟧\n");
  // Reasoning, content and the template's text between them are one turn.
  EXPECT_EQ(trained_by("{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}(<{{ "
                       "m.reasoning_content }}>){% endif %}{{ m.content }}<|im_end|>\n{% endfor %}" +
                           ask + "<|im_start|>assistant\n{% endif %}",
                       R"([{"role":"user","content":"U"},{"role":"assistant","content":"A","reasoning_content":"R"}])"),
            "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n⟦(<R>)A<|im_end|>⟧\n");
}

// What trains of `messages` by the template `source`.
std::string trained_of(const std::string& source, const char* messages, const TrainOn& what = {}) {
  const ChatTemplate chat(source, "t");
  return preview_row(SampleMaker(smollm2().tokenizer, chat).sample_of(row_of(messages), what), smollm2().tokenizer,
                     false);
}

constexpr const char* kTalk =
    R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"},{"role":"user","content":"V"},
        {"role":"assistant","content":"B"}])";

TEST(SampleMaker, TrainsWhatGenerationBlocksSay) {
  NEEDS_TEST_MODEL();
  // The block decides: with the header's last line or without, with the end token or without.
  const std::string loop = "{% for m in messages %}{% if m.role == 'user' %}[{{ m.content }}]{% else %}";
  EXPECT_EQ(trained_of(loop + "<|im_start|>assistant\n{% generation %}{{ m.content }}<|im_end|>;{% endgeneration "
                              "%}\n{% endif %}{% endfor %}",
                       kTalk),
            "[U]<|im_start|>assistant\n⟦A<|im_end|>;⟧[V]<|im_start|>assistant\n⟦B<|im_end|>;⟧\n");
  EXPECT_EQ(trained_of(loop + "<|im_start|>{% generation %}say: {{ m.content }}{% endgeneration "
                              "%}<|im_end|>{% endif %}{% endfor %}",
                       kTalk),
            "[U]<|im_start|>⟦say: A⟧<|im_end|>[V]<|im_start|>⟦say: B⟧<|im_end|>\n");
  // Blocks that touch are turns of their own.
  EXPECT_EQ(
      trained_of("{% for m in messages %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endfor %}",
                 R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"},
                           {"role":"assistant","content":"B","train":false}])"),
      "U<|im_end|>⟦A<|im_end|>⟧B<|im_end|>\n");
  // What is not in a block doesn't train, though the assistant says it; another role does where it is asked for.
  const std::string last =
      "{% for m in messages %}{{ m.role }}:{% if loop.last %}{% generation %}{{ m.content }}"
      "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}";
  EXPECT_EQ(trained_of(last, kTalk), "user:U<|im_end|>assistant:A<|im_end|>user:V<|im_end|>assistant:⟦B<|im_end|>⟧\n");
  EXPECT_EQ(trained_of(last, kTalk, {.roles = {"user", "assistant"}}),
            "user:⟦U<|im_end|>⟧assistant:A<|im_end|>user:⟦V<|im_end|>⟧assistant:⟦B<|im_end|>⟧\n");
  // Through macros, set blocks and filters the mark stays.
  EXPECT_EQ(trained_of("{% macro say(m) %}{% generation %} {{ m.content }}<|im_end|>{% endgeneration %}{% endmacro %}"
                       "{% for m in messages %}{% set t %}{{ m.role }}:{{ say(m) if loop.last else m.content }}{% "
                       "endset %}{{ t | trim }}\n{% endfor %}",
                       kTalk),
            "user:U\nassistant:A\nuser:V\nassistant:⟦ B<|im_end|>⟧\n");
}

TEST(SampleMaker, TrainsTheRolesAndEndsThatAreAskedFor) {
  NEEDS_TEST_MODEL();
  const std::string chatml =
      "{% for m in messages %}({{ m.role }}){{ m.content }} <|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}(assistant){% endif %}";
  const auto trained = [&](const TrainOn& what) { return trained_of(chatml, kTalk, what); };
  using enum TrainOnEos;
  EXPECT_EQ(trained({.roles = {"user"}}),
            "(user)⟦U <|im_end|>⟧\n(assistant)A <|im_end|>\n(user)⟦V <|im_end|>⟧\n(assistant)B <|im_end|>\n");
  EXPECT_EQ(trained({.eos = kNone}),
            "(user)U <|im_end|>\n(assistant)⟦A⟧ <|im_end|>\n(user)V <|im_end|>\n(assistant)⟦B⟧ <|im_end|>\n");
  EXPECT_EQ(trained({.eos = kLast}),
            "(user)U <|im_end|>\n(assistant)⟦A⟧ <|im_end|>\n(user)V <|im_end|>\n(assistant)⟦B <|im_end|>⟧\n");
  EXPECT_EQ(trained({.eos = kAll}),
            "(user)U ⟦<|im_end|>⟧\n(assistant)⟦A <|im_end|>⟧\n(user)V ⟦<|im_end|>⟧\n(assistant)⟦B <|im_end|>⟧\n");
  // A message's own word goes before its role.
  EXPECT_EQ(trained_of(chatml, R"([{"role":"user","content":"U","train":true},{"role":"assistant","content":"A",
                                   "train":false},{"role":"user","content":"V","train":null},
                                   {"role":"assistant","content":"B","weight":1}])"),
            "(user)⟦U <|im_end|>⟧\n(assistant)A <|im_end|>\n(user)V <|im_end|>\n(assistant)⟦B <|im_end|>⟧\n");
  const auto refused = [&](const char* message, const char* why) {
    EXPECT_THAT([&] { trained_of(chatml, (std::string("[") + message + "]").c_str()); },
                ThrowsMessage<RowError>(HasSubstr(why)));
  };
  refused(R"({"role":"assistant","content":"A","train":"no"})", "message 1: train must be true or false, not \"no\"");
  refused(R"({"role":"assistant","content":"A","weight":0.5})", "message 1: weight must be 0 or 1, not 0.5");
  EXPECT_THAT([&] { trained({.roles = {"tool"}}); }, ThrowsMessage<RowError>(HasSubstr("shows no word of tool")));
}

TEST(SampleMaker, WarnsOfTemplatesThatDontTeachToStop) {
  NEEDS_TEST_MODEL();
  const auto warnings = [&](const std::string& source, const TrainOn& what = {}) {
    const ChatTemplate chat(source, "t");
    std::string all;
    for (const std::string& warning : SampleMaker(smollm2().tokenizer, chat).template_warnings(what))
      all += warning + "\n";
    return all;
  };
  EXPECT_EQ(warnings(smollm2().tokenizer.chat_template()), "");
  EXPECT_EQ(smollm2().maker.end_of_turn(), smollm2().tokenizer.eos());
  const std::string head = "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\n{% else %}A:",
                    tail = "{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}";
  EXPECT_EQ(warnings(head + " {{ m.content }}<|im_end|>\n" + tail), "");
  EXPECT_THAT(warnings(head + " {{ m.content }}<|end|>\n" + tail),
              ::testing::StartsWith("the chat template writes no end-of-turn token after the answer (\"<|end|>\\n\" "
                                    "follows it): the model will not learn to stop\n"));
  EXPECT_THAT(warnings(head + "{% generation %} {{ m.content }}{% endgeneration %}<|im_end|>\n" + tail),
              ::testing::StartsWith("the chat template's {% generation %} block leaves out \"<|im_end|>\""));
  EXPECT_THAT(warnings(head + " {{ m.content }}<|im_start|>\n" + tail),
              HasSubstr("ends an answer with \"<|im_start|>\", but the model's files say that \"<|im_end|>\" does"));
  EXPECT_EQ(warnings("{{ raise_exception('no') }}"), "");
}

TEST(SampleMaker, AsksForTheLastAnswer) {
  NEEDS_TEST_MODEL();
  const Prompt prompt =
      smollm2().maker.prompt_of(row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"},
      {"role":"user","content":"<|im_end|>"},{"role":"assistant","content":"B"}])"));
  EXPECT_EQ(prompt.reference, "B");
  const std::string text = smollm2().tokenizer.decode(prompt.tokens);
  EXPECT_TRUE(text.ends_with(
      "<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n"))
      << text;
  EXPECT_EQ(std::count(prompt.tokens.begin(), prompt.tokens.end(), smollm2().tokenizer.eos()), 4);
  // A prompt is how the sample begins.
  const Row row = row_of(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"}])");
  const Sample sample = smollm2().maker.sample_of(row);
  const std::vector<std::int32_t> tokens = smollm2().maker.prompt_of(row).tokens;
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), sample.tokens.begin()));
  EXPECT_EQ(sample.trained[tokens.size()], 1);
  EXPECT_EQ(sample.trained[tokens.size() - 1], 0);
  EXPECT_EQ(smollm2().maker.tokens_of(ordered_json::parse(R"([{"role":"user","content":"U"}])")), tokens);
  EXPECT_THROW(smollm2().maker.prompt_of(row_of(R"([{"role":"assistant","content":"A"}])")), RowError);
}

TEST(Preview, ShowsWhatIsTrained) {
  NEEDS_TEST_MODEL();
  const Sample sample = smollm2().maker.sample_of(
      row_of(R"([{"role":"system","content":"\u001b[2J\u0007"},{"role":"assistant","content":"A\tB"}])"));
  EXPECT_EQ(preview_row(sample, smollm2().tokenizer, true),
            "<|im_start|>system\n\\x1b[2J\\x07<|im_end|>\n<|im_start|>assistant\n\x1b[32mA\tB<|im_end|>\x1b[0m\n");
  const std::string ids = preview_ids(sample, smollm2().tokenizer);
  EXPECT_TRUE(ids.starts_with("     0       1 -       \"<|im_start|>\"\n")) << ids;
  EXPECT_THAT(ids, HasSubstr(" trained \"<|im_end|>\"\n"));
  EXPECT_THAT(ids, HasSubstr(" -       \"\\n\"\n"));
}

}  // namespace
}  // namespace shardlora
