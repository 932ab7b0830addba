// Whole templates: the named ones and those of tests/data/chat/templates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "data/preview.h"
#include "data/rows/row.h"
#include "data/sample_maker.h"
#include "data/template/named_templates.h"
#include "data/template/template_input.h"
#include "data/template/text.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

ordered_json read(const std::string& path) { return ordered_json::parse(std::ifstream(path)); }

std::string digest(const std::string& text) { return sha256_of(text).substr(0, 12); }

TEST(Templates, RenderEveryConversationAsJinjaDoes) {
  const ordered_json cases = read(TEST_DATA "/chat/conversations.json");
  const ordered_json golden = read(TEST_DATA "/chat/templates.json");
  std::size_t named = 0;
  for (const auto& [name, row] : golden.items()) {
    const NamedTemplate* known = find_named_template(name);
    named += known == nullptr ? 0 : 1;
    const ChatTemplate chat(
        known != nullptr ? known->source() : read_text(TEST_DATA "/chat/templates/" + name, 1 << 20), name);
    std::istringstream digests(row.get<std::string>());
    std::size_t rendered = 0;
    for (const auto& c : cases) {
      TemplateInput input;
      input.messages = c["messages"];
      if (c.contains("tools")) input.tools = c["tools"];
      if (c.contains("variables")) input.variables = c["variables"];
      input.add_generation_prompt = c["prompt"];
      input.bos_token = "<s>";
      input.eos_token = "</s>";
      std::string expected, got = "-", what;
      digests >> expected;
      try {
        got = digest(what = chat.render(input).text);
        ++rendered;
      } catch (const Error& error) {
        what = error.what();
      }
      ASSERT_EQ(got, expected) << name << "\n" << c.dump() << "\n" << what;
    }
    EXPECT_GE(rendered, 200U) << name;
  }
  EXPECT_EQ(named, named_templates().size());
}

// The template with the tokens of SmolLM2 in place of its own, so that the model's tokenizer serves for all of them.
std::string with_our_tokens(std::string source, const NamedTemplate& named) {
  for (const std::string_view token : named.tokens) {
    const bool end = token.find("end|") != std::string_view::npos || token.find("eot") != std::string_view::npos ||
                     token.find("end_of_turn") != std::string_view::npos || token.starts_with("<|END_OF");
    const std::string ours = end ? "<|im_end|>" : "<|im_start|>";
    for (std::size_t at = 0; (at = source.find(token, at)) != std::string::npos; at += ours.size())
      source.replace(at, token.size(), ours);
  }
  return source;
}

struct Ending {
  const char *before, *behind;  // of an answer, as far as they train
  bool trims;
};
const std::map<std::string_view, Ending> kEndings{{"llama3", {"", "", true}},      {"llama2", {" ", " ", true}},
                                                  {"mistral_v1", {" ", "", true}}, {"mistral_v2v3", {" ", "", true}},
                                                  {"gemma", {"", "", true}},       {"deepseek_v2", {" ", "", false}},
                                                  {"vicuna", {" ", "", false}},    {"cohere", {"", "", true}}};

std::string trimmed(const std::string& text) { return strip(Text(text, {}), Side::kBoth).bytes(); }

TEST(Templates, TrainExactlyTheAnswersWithTheirEnds) {
  NEEDS_TEST_MODEL();
  const Tokenizer tokenizer = Tokenizer::open(test_model());
  const std::string end(tokenizer.bytes_of(tokenizer.eos()));
  const ordered_json cases = read(TEST_DATA "/chat/conversations.json");
  for (const NamedTemplate& named : named_templates()) {
    const ChatTemplate chat(with_our_tokens(named.source(), named), std::string(named.name));
    const SampleMaker maker(tokenizer, chat);
    EXPECT_THAT(maker.template_warnings(), ::testing::IsEmpty()) << named.name;
    const auto known = kEndings.find(named.name);
    const Ending ending = known == kEndings.end() ? Ending{"", "", false} : known->second;
    int checked = 0;
    for (const auto& c : cases) {
      if (c.contains("tools")) continue;
      const ordered_json& messages = c["messages"];
      std::string expected;
      bool skipped = false;  // an answer that says nothing, or thoughts where they aren't kept
      for (std::size_t i = 0; i < messages.size(); ++i) {
        if (messages[i]["role"] != "assistant") continue;
        std::string said = messages[i]["content"];
        if (named.name == "qwen3") {
          // Thoughts are for the end of a conversation, where the model writes them itself.
          if (const std::size_t at = said.rfind("</think>"); at != std::string::npos) skipped = true;
          if (i + 1 == messages.size()) said = "<think>\n\n</think>\n\n" + said;
        }
        skipped = skipped || is_blank(messages[i]["content"].get<std::string>());
        expected += ending.before + (ending.trims ? trimmed(said) : said) + ending.behind + end;
      }
      if (expected.empty() || skipped) continue;
      const Row row{"golden", 1, {{"messages", messages}}};
      RowNotes notes;
      const Sample sample = maker.sample_of(row, {}, &notes);
      std::string trained;
      for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
        if (sample.trained[i] != 0) trained += tokenizer.bytes_of(sample.tokens[i]);
      }
      ASSERT_EQ(trained, expected) << named.name << "\n" << messages.dump();
      // And what is asked before each answer is how the row begins.
      ASSERT_EQ(notes.asked_otherwise, std::nullopt) << named.name << "\n" << messages.dump();
      ASSERT_EQ(notes.left_out, std::nullopt) << named.name << "\n" << messages.dump();
      ++checked;
    }
    EXPECT_GT(checked, 60) << named.name;
  }
}

TEST(Templates, RefuseASystemMessageThatNoTurnCanHold) {
  TemplateInput input;
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  for (const char* name : {"llama2", "mistral_v1", "mistral_v2v3", "mistral_v3_tekken", "gemma"}) {
    const ChatTemplate chat(find_named_template(name)->source(), name);
    for (const char* turns : {"", R"(,{"role":"assistant","content":"A"},{"role":"user","content":"U"})"}) {
      input.messages = ordered_json::parse(R"([{"role":"system","content":"S"})" + std::string(turns) + "]");
      EXPECT_THAT([&] { chat.render(input); }, ThrowsMessage<Error>(HasSubstr("that turn must be next"))) << name;
    }
    input.messages = ordered_json::parse(R"([{"role":"assistant","content":"A"}])");
    EXPECT_THAT(chat.render(input).text, HasSubstr("A")) << name;
  }
}

std::string error_of(const Tokenizer& tokenizer, const TemplateChoice& choice) {
  try {
    chat_template_of(tokenizer, choice);
    return "no error";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string marked(const SampleMaker& maker, const Tokenizer& tokenizer, const Row& row) {
  return preview_row(maker.sample_of(row), tokenizer, false);
}

std::optional<std::string> asked_otherwise(const SampleMaker& maker, const Row& row) {
  RowNotes notes;
  maker.sample_of(row, {}, &notes);
  return notes.asked_otherwise;
}

// Three families as they come from their folders: what trains, and that a question is asked as it was trained.
TEST(Templates, TrainRealFamiliesAsTheyAreAsked) {
  const std::filesystem::path folder = std::filesystem::path(TEST_DATA) / "../../../shared/data/tokenizers";
  if (!std::filesystem::exists(folder)) {
    if (in_ci()) FAIL() << folder << " is missing";
    GTEST_SKIP() << "no tokenizers at " << folder;
  }
  const Row row{"r", 1, ordered_json::parse(R"({"messages":[{"role":"user","content":"Hi </s><|im_end|>"},
      {"role":"assistant","content":"Yes."},{"role":"user","content":"So?"},{"role":"assistant","content":"No <|eot_id|>"}]})")};
  {
    const Tokenizer tokenizer = Tokenizer::open(folder / "llama2");
    EXPECT_THAT(error_of(tokenizer, {}), HasSubstr("the model has no chat template"));
    const ChatTemplate chat = chat_template_of(tokenizer, {"llama2", ""});
    const SampleMaker maker(tokenizer, chat);
    EXPECT_THAT(maker.template_warnings(), ::testing::IsEmpty());
    EXPECT_EQ(asked_otherwise(maker, row), std::nullopt);
    EXPECT_EQ(maker.end_of_turn(), tokenizer.eos());
    EXPECT_EQ(marked(maker, tokenizer, row),
              "<s> [INST] Hi </s><|im_end|> [/INST]⟦ Yes. </s>⟧<s> [INST] So? [/INST]⟦ No <|eot_id|> </s>⟧\n");
  }
  {
    const Tokenizer tokenizer = Tokenizer::open(folder / "llama3_1");
    const ChatTemplate chat = chat_template_of(tokenizer);
    const SampleMaker maker(tokenizer, chat);
    EXPECT_THAT(maker.template_warnings(), ::testing::IsEmpty());
    EXPECT_EQ(asked_otherwise(maker, row), std::nullopt);
    EXPECT_EQ(maker.end_of_turn(), tokenizer.id_of("<|eot_id|>"));
    EXPECT_THAT(marked(maker, tokenizer, row),
                HasSubstr("<|start_header_id|>assistant<|end_header_id|>\n\n⟦Yes.<|eot_id|>⟧<|start_header_id|>user"));
    EXPECT_THAT(marked(maker, tokenizer, row), HasSubstr("⟦No <|eot_id|><|eot_id|>⟧"));
  }
  {
    // The template writes an empty thought behind the last question, which the prompt leaves to the model.
    const Tokenizer tokenizer = Tokenizer::open(folder / "qwen3");
    const ChatTemplate own = chat_template_of(tokenizer), named = chat_template_of(tokenizer, {"qwen3", ""});
    const SampleMaker maker(tokenizer, own), other(tokenizer, named);
    EXPECT_THAT(maker.template_warnings(), ::testing::IsEmpty());
    EXPECT_EQ(asked_otherwise(maker, row), std::nullopt);
    EXPECT_THAT(marked(maker, tokenizer, row), HasSubstr("assistant\n⟦Yes.<|im_end|>⟧\n"));
    EXPECT_THAT(marked(maker, tokenizer, row),
                HasSubstr("assistant\n⟦<think>\n\n</think>\n\nNo <|eot_id|><|im_end|>⟧\n"));
    EXPECT_THAT(other.template_warnings(), ::testing::IsEmpty());
    EXPECT_EQ(asked_otherwise(other, row), std::nullopt);
    EXPECT_THAT(marked(other, tokenizer, row),
                HasSubstr("assistant\n⟦<think>\n\n</think>\n\nNo <|eot_id|><|im_end|>⟧\n"));
  }
}

TEST(TemplateChoice, FindsTemplatesByNameFileAndText) {
  NEEDS_TEST_MODEL();
  const Tokenizer tokenizer = Tokenizer::open(test_model());
  TemplateInput input;
  input.messages = ordered_json::parse(R"([{"role":"user","content":"U"},{"role":"assistant","content":"A"}])");
  input.eos_token = "</s>";
  const auto text = [&](const TemplateChoice& choice) {
    return chat_template_of(tokenizer, choice).render(input).text;
  };
  const std::string chatml = "<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n";
  EXPECT_EQ(text({"chatml", ""}), chatml);
  EXPECT_EQ(text({"yi", ""}), chatml);
  EXPECT_THAT(text({}), HasSubstr("You are a helpful AI assistant"));
  EXPECT_EQ(text({"tokenizer_default_fallback_vicuna", ""}), text({}));
  EXPECT_EQ(text({"vicuna", ""}), "USER: U ASSISTANT: A</s>");
  const TemporaryDirectory directory;
  const std::string file = directory.write("my.jinja", "{% for m in messages %}{{ m.content }};{% endfor %}").string();
  EXPECT_EQ(text({file, ""}), "U;A;");
  EXPECT_EQ(text({"jinja", file}), "U;A;");
  EXPECT_EQ(text({"tokenizer_default", "{{ messages[0].content }}"}), "U");
}

TEST(TemplateChoice, SaysWhatElseThereIs) {
  NEEDS_TEST_MODEL();
  const Tokenizer tokenizer = Tokenizer::open(test_model());
  EXPECT_THAT(
      error_of(tokenizer, {"chatlm", ""}),
      ::testing::StartsWith("unknown chat template \"chatlm\"; did you mean \"chatml\"?; one of: tokenizer_default, "
                            "chatml, qwen_25, "));
  EXPECT_THAT(error_of(tokenizer, {"tokenizer_default_fallback_x", ""}), HasSubstr("unknown chat template \"x\""));
  EXPECT_THAT(error_of(tokenizer, {"llama3", ""}),
              HasSubstr("chat_template: llama3 writes \"<|start_header_id|>\", which is no token of this model"));
  EXPECT_THAT(error_of(tokenizer, {"llama3", ""}), HasSubstr("or one whose tokens it has: chatml, qwen_25, qwen3, "));
  EXPECT_THAT(error_of(tokenizer, {"jinja", ""}), HasSubstr("chat_template: jinja needs chat_template_jinja"));
  EXPECT_THAT(error_of(tokenizer, {"chatml", "{{ 1 }}"}), HasSubstr("are two templates; remove one of them"));
  EXPECT_THAT(error_of(tokenizer, {"absent.jinja", ""}), HasSubstr("absent.jinja"));
  EXPECT_THAT(error_of(tokenizer, {"jinja", "{{ 1"}), HasSubstr("chat_template_jinja:1: "));
}

}  // namespace
}  // namespace shardlora
