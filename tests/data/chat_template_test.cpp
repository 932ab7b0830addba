#include "data/template/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "data/template/template_input.h"
#include "io/temporary_directory.h"
#include "io/test_model.h"

namespace shardlora {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;

ordered_json read(const std::string& path) { return ordered_json::parse(std::ifstream(path)); }

std::string render(const std::string& source, const TemplateInput& input) {
  return ChatTemplate(source, "t").render(input).text;
}

std::string error_of(const std::string& source, const TemplateInput& input = {}) {
  try {
    const std::string text = render(source, input);
    return "no error: " + text;
  } catch (const Error& error) {
    return error.what();
  }
}

TemplateInput chat(const char* json) {
  TemplateInput input;
  input.messages = ordered_json::parse(json);
  return input;
}

TEST(ChatTemplate, RendersEveryFeatureAsJinjaDoes) {
  const ordered_json golden = read(TEST_DATA "/chat/snippets.json");
  TemplateInput input;
  input.tools = golden["tools"];
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.add_generation_prompt = true;
  ASSERT_GT(golden["snippets"].size(), 100U);
  for (const auto& snippet : golden["snippets"]) {
    input.messages = golden[snippet["messages"].get<std::string>()];
    const std::string source = snippet["template"];
    try {
      EXPECT_EQ(render(source, input), snippet["expected"].get<std::string>()) << source;
    } catch (const std::exception& error) {
      ADD_FAILURE() << source << "\n" << error.what();
    }
  }
}

TEST(ChatTemplate, FailsWhereJinjaFails) {
  const ordered_json golden = read(TEST_DATA "/chat/snippets.json");
  TemplateInput input;
  input.messages = golden["chat"];
  for (const auto& source : golden["failing"])
    EXPECT_THAT(error_of(source.get<std::string>(), input), ::testing::StartsWith("t:1: ")) << source;
}

TEST(ChatTemplate, RendersSmolLM2AsJinjaDoes) {
  const ordered_json golden = read(TEST_DATA "/chat/smollm2.json");
  const ChatTemplate chat(golden["template"].get<std::string>(), "SmolLM2");
  ASSERT_GE(golden["conversations"].size(), 200U);
  for (const auto& conversation : golden["conversations"]) {
    TemplateInput input;
    input.messages = conversation["messages"];
    input.add_generation_prompt = conversation["prompt"];
    input.bos_token = "<|im_start|>";
    input.eos_token = "<|im_end|>";
    EXPECT_EQ(chat.render(input).text, conversation["expected"].get<std::string>());
  }
}

std::string sha256(const std::string& text) {
  const TemporaryDirectory directory;
  return sha256_of_file(directory.write("text", text));
}

TEST(ChatTemplate, RendersOtherFamiliesAsJinjaDoes) {
  const std::filesystem::path folder = std::filesystem::path(TEST_DATA) / "../../../shared/data/tokenizers";
  if (!std::filesystem::exists(folder)) {
    if (in_ci()) FAIL() << folder << " is missing";
    GTEST_SKIP() << "no tokenizers at " << folder;
  }
  const ordered_json golden = read(TEST_DATA "/chat/families.json");
  for (const auto& [name, hashes] : golden["sha256"].items()) {
    const ordered_json config = read((folder / name / "tokenizer_config.json").string());
    const ChatTemplate chat(config["chat_template"].get<std::string>(), name);
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      const auto& c = golden["cases"][i];
      TemplateInput input;
      input.messages = c["messages"];
      input.tools = c["tools"];
      input.add_generation_prompt = c["prompt"];
      for (auto [key, token] : {std::pair{"bos_token", &input.bos_token}, {"eos_token", &input.eos_token}}) {
        if (config.contains(key) && !config[key].is_null())
          *token = config[key].is_object() ? config[key]["content"] : config[key];
      }
      EXPECT_EQ(sha256(chat.render(input).text), hashes[i].get<std::string>()) << name << " " << c.dump();
    }
  }
}

// What a range list says, as a short text: t template, d data, 0 1 … content of that message.
std::string origins(const Rendered& rendered) {
  std::string out;
  std::uint32_t end = 0;
  for (const auto& range : rendered.ranges) {
    EXPECT_EQ(range.begin, end);
    end = range.end;
    const char mark = range.origin.kind == Origin::Kind::kTemplate ? 't'
                      : range.origin.kind == Origin::Kind::kData   ? 'd'
                                                                   : static_cast<char>('0' + range.origin.message);
    if (range.begin == range.end) out += '(', out += mark, out += ')';
    out += std::string(range.end - range.begin, mark);
  }
  EXPECT_EQ(end, rendered.text.size());
  return out;
}

TEST(ChatTemplate, KnowsWhereEveryCharacterCameFrom) {
  const TemplateInput input = chat(
      R"([{"role":"user","content":" ab cd "},{"role":"assistant","content":"xyz"},{"role":"assistant","content":""}])");
  const auto check = [&](const std::string& source, const std::string& text, const std::string& expected) {
    const Rendered rendered =
        ChatTemplate("{% set u = messages[0] %}{% set a = messages[1] %}" + source, "t").render(input);
    EXPECT_EQ(rendered.text, text) << source;
    EXPECT_EQ(origins(rendered), expected) << source;
  };
  check("<{{ a.role }}>{{ a.content }}.", "<assistant>xyz.", "tdddddddddt111t");
  check("{{ '<' + u.content | trim + '>' ~ a.content }}", "<ab cd>xyz", "t00000t111");
  check("{{ u.content.split(' ') | join('+') }}", "+ab+cd+", "(0)t00t00t(0)");
  check("{{ u.content[1:3] ~ a.content[::-1] ~ a.content[0] }}", "abzyxx", "001111");
  check("{{ u.content.replace('b', '<b>') }}", " a<b> cd ", "00ttt0000");
  check("{{ a.content | upper ~ a.content.title() ~ (a.content | replace('y', u.role)) }}", "XYZXyzxuserz",
        "1111111dddd1");
  check("{{ a.content | tojson ~ {'k': u.content} | tojson }}", "\"xyz\"{\"k\": \" ab cd \"}", "11111tttttt000000000t");
  check("{% set s %}[{{ a.content }}]{% endset %}{{ s * 2 }}", "[xyz][xyz]", "t111tt111t");
  check("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(a.content) | indent }}", "<xyz>", "t111t");
  check("<{{ messages[2].content }}>{{ messages[2].content | trim }}", "<>", "t(2)t(2)");
  check("{% for m in messages %}{{ m.content }}|{% endfor %}", " ab cd |xyz||", "0000000t111t(2)t");
}

TEST(ChatTemplate, CountsMessagesContentWhereverItLies) {
  TemplateInput input = chat(R"([{"role":"assistant","name":"n","content":[{"type":"text","text":"hi"}],
      "tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}])");
  const Rendered rendered = ChatTemplate(
                                "{{ messages[0].name }}{% for p in messages[0].content %}{{ p.text }}{% endfor %}{{ "
                                "messages[0].tool_calls[0].function.arguments | tojson }}{{ bos_token }}",
                                "t")
                                .render(input);
  EXPECT_EQ(rendered.text, "nhi{\"a\": 1}");
  EXPECT_EQ(origins(rendered), "d00000000t0");
}

TEST(ChatTemplate, SaysWhereAndWhatIsWrong) {
  EXPECT_EQ(error_of("\n\n{{ raise_exception('roles must alternate') }}"), "t:3: roles must alternate");
  EXPECT_EQ(error_of("a\n{{ messages[0].x.y }}", chat("[{}]")), "t:2: 'dict' has no 'x', so it has no 'y'");
  EXPECT_EQ(error_of("{{ nothing.here }}"), "t:1: 'nothing' is undefined, so it has no 'here'");
  EXPECT_EQ(error_of("{{ none + 'x' }}"), "t:1: '+' cannot join a NoneType and a str");
  EXPECT_EQ(error_of("{{ [].append(1) }}"), "t:1: .append() would change a list, which a template must not");
  EXPECT_THAT(error_of("{% for x in y %}\n{{ x | frobnicate }}"),
              HasSubstr("t:2: unknown filter 'frobnicate'; known are trim, tojson"));
  EXPECT_THAT(error_of("{{ x is odd and x is frobnicated }}"),
              HasSubstr("t:1: unknown test 'frobnicated'; known are defined"));
  EXPECT_EQ(error_of("\n{% include 'x' %}"),
            "t:2: unknown tag {% include %}; known are if, for, set, macro, call, filter, with, generation, break, "
            "continue, raw");
  EXPECT_THAT(error_of("{% if true %}\n{{ 1 | frobnicate }}{% endif %}"),
              HasSubstr("t:2: unknown filter 'frobnicate'"));
  EXPECT_EQ(error_of("{% macro m(a) %}{% endmacro %}\n{{ m(1, 2) }}"), "t:2: the macro m takes 1 arguments, not 2");
  EXPECT_EQ(error_of("{% for x in y %}\n{{ x }}\n"), "t:2: the template ends where {% endfor %} is missing");
  EXPECT_EQ(error_of("{{ x y }}"), "t:1: expected '}}', got 'y'");
  EXPECT_EQ(error_of("\n{{ 'open }}"), "t:2: a string is not closed with '");
}

TEST(ChatTemplate, EndsHoweverTheTemplateIsWritten) {
  const std::string forever =
      "{% set ns = namespace(n=0) %}{% for a in range(100000) %}{% for b in range(100000) %}{% set ns.n = ns.n + 1 "
      "%}{% endfor %}{% endfor %}";
  EXPECT_THAT(error_of(forever), HasSubstr("the template takes too many steps"));
  EXPECT_NE(error_of("{% set ns = namespace(s='x') %}{% for a in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}")
                .find("t:1: "),
            std::string::npos);
  EXPECT_THAT(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of("{% set ns = namespace(l=[]) %}{% for a in range(1000) %}{% set ns.l = [ns.l] %}{% endfor %}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(
      error_of(
          "{% set ns = namespace(l=[]) %}{% for a in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}"),
      HasSubstr("a list of more than"));
  EXPECT_THAT(error_of("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(error_of("{{ " + std::string(5000, '-') + "1 }}"), HasSubstr("nested deeper"));
  std::string sum = "{{ 1", ifs;
  for (int i = 0; i < 5000; ++i) sum += " + 1", ifs += "{% if 1 %}";
  EXPECT_THAT(error_of(sum + " }}"), HasSubstr("operations in a row"));
  EXPECT_THAT(error_of(ifs), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of("{{ 'x' * 100000000 }}"), HasSubstr("repeated more than"));
  EXPECT_THAT(error_of("{% set n = namespace() %}{% set n.n = n %}"), HasSubstr("a namespace cannot be put"));
  EXPECT_THAT(error_of("{{ 9223372036854775807 + 1 }}"), HasSubstr("beyond 64 bits"));
  EXPECT_THAT(error_of("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of("{% macro m() %}{% call m() %}x{% endcall %}{% endmacro %}{{ m() }}"),
              HasSubstr("nested deeper"));
  EXPECT_THAT(error_of("{{ '%100000d' % 1 }}"), HasSubstr("wider than"));
  EXPECT_THAT(error_of("{{ 'a'.ljust(1000000000) }}"), HasSubstr("ljust to more than"));
  EXPECT_THAT(error_of("{{ 'abc' | truncate(1, leeway=-9) }}"), HasSubstr("leaves no room"));
  EXPECT_THAT(error_of("{{ 'abcd' | truncate(3, leeway=-9) }}"), HasSubstr("must not be negative"));
  EXPECT_EQ(render("{{ 'abcd' | truncate(3, leeway=9223372036854775807) }}", {}), "abcd");
  EXPECT_EQ(render("{{ 'abc'[1::9223372036854775807] }}{{ [1, 2, 3][1::-9223372036854775807] }}", {}), "b[2]");
  EXPECT_EQ(render("{{ range(1, 9223372036854775807, 9223372036854775806) | list }}", {}), "[1]");
  EXPECT_EQ(render("{{ range(2, 9223372036854775807, 9223372036854775806) | list }}", {}), "[2]");
  // Two empty contents doubled sixty times are two marks; marks of other messages in turn are too many.
  const std::string doubled =
      "{% set ns = namespace(s=messages[0].content ~ messages[1].content) %}{% for a in range(60) %}{% set ns.s = "
      "ns.s ~ ns.s %}{% endfor %}{{ ns.s }}";
  const Rendered marks = ChatTemplate(doubled, "t").render(chat(R"([{"content":""},{"content":""}])"));
  EXPECT_EQ(marks.ranges.size(), 2U);
  EXPECT_THAT(error_of("{% set ns = namespace(s='x' ~ messages[0].content) %}{% for a in range(20) %}{% set ns.s = "
                       "ns.s ~ ns.s %}{% endfor %}",
                       chat(R"([{"content":"y"}])")),
              HasSubstr("a text of more than 1000000 pieces"));
  // What could come to hold itself, or to be called after its loop.
  EXPECT_THAT(error_of("{% set n = namespace() %}{% for x in [1] %}{% macro m() %}{% endmacro %}{% set n.m = m %}{% "
                       "endfor %}"),
              HasSubstr("cannot be put in a namespace"));
  EXPECT_THAT(error_of("{% set n = namespace() %}{% for x in [1] recursive %}{% set n.l = loop %}{% endfor %}{{ "
                       "n.l([2]) }}"),
              HasSubstr("loop() may be called in"));
}

TEST(ChatTemplate, TellsTheSameDayOnEveryMachineUnlessToldAnother) {
  TemplateInput input;
  const std::string source = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y %H') }}{% endif %}";
  EXPECT_EQ(render(source, input), "26 Jul 2024 00");
  input.now = 1'000'000'000;
  EXPECT_EQ(render(source, input), "09 Sep 2001 01");
}

}  // namespace
}  // namespace shardlora
