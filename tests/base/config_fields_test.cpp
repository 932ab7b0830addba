#include "base/config_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shardlora {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

ConfigValue value_of(const std::string& yaml) { return {"key", parse_config(yaml, "c.yaml"), false}; }

TEST(ConfigDocument, RemembersTheLineOfEverything) {
  const ConfigNode root = parse_config("# note\na: 1\nb:\n  - x\n  - y: ~\n", "c.yaml");
  ASSERT_EQ(root.members.size(), 2U);
  EXPECT_EQ(root.members[0].place, "c.yaml:2");
  EXPECT_EQ(root.members[1].place, "c.yaml:3");
  EXPECT_EQ(root.members[1].value.items[0].place, "c.yaml:4");
  EXPECT_EQ(root.members[1].value.items[1].members[0].value.place, "c.yaml:5");
  EXPECT_EQ(root.members[1].value.items[1].members[0].value.kind, ConfigNode::Kind::kNull);
}

TEST(ConfigDocument, TellsQuotedWordsFromNothing) {
  EXPECT_EQ(parse_config("a: ''", "c").members[0].value.kind, ConfigNode::Kind::kScalar);
  EXPECT_EQ(parse_config("a: 'null'", "c").members[0].value.text, "null");
  EXPECT_EQ(parse_config("a: null", "c").members[0].value.kind, ConfigNode::Kind::kNull);
  EXPECT_EQ(parse_config("a:", "c").members[0].value.kind, ConfigNode::Kind::kNull);
}

TEST(ConfigFields, ReadsSizes) {
  EXPECT_EQ(to_bytes(value_of("24GiB")), 24ULL << 30);
  EXPECT_EQ(to_bytes(value_of("512MiB")), 512ULL << 20);
  EXPECT_EQ(to_bytes(value_of("1.5 GB")), 1'500'000'000ULL);
  EXPECT_EQ(to_bytes(value_of("4096")), 4096U);
  EXPECT_EQ(to_bytes(value_of("0")), 0U);
  for (const char* wrong : {"GiB", "-1GiB", "1XiB", "many", "1e30TiB", "nan", "1 2GiB"})
    EXPECT_THAT([&] { to_bytes(value_of(wrong)); },
                ThrowsMessage<Error>(HasSubstr("c.yaml:1: key: expected a size such as")))
        << wrong;
}

TEST(ConfigFields, WritesSizesThatReadBackTheSame) {
  for (const std::uint64_t bytes : {0ULL, 1ULL, 1024ULL, 1000ULL, 4096ULL, 24ULL << 30, 1'500'000'000ULL, 123456789ULL})
    EXPECT_EQ(to_bytes(value_of(bytes_text(bytes))), bytes) << bytes_text(bytes);
}

TEST(ConfigFields, WritesTextThatReadsBackTheSame) {
  for (const std::string text :
       {"plain", "a: b", "null", "\"quoted\" \\ back", "line\nline", "\t\x01", "# no comment", "é🙂", ""})
    EXPECT_EQ(parse_config("a: " + yaml_text(text), "c").members[0].value.text, text);
}

TEST(ConfigFields, KnowsTheNearestName) {
  const std::vector<std::string> names{"lora_r", "lora_alpha", "learning_rate", "seed"};
  EXPECT_EQ(nearest_name("lora_rr", names), "lora_r");
  EXPECT_EQ(nearest_name("lorar_", names), "lora_r");
  EXPECT_EQ(nearest_name("learnign_rate", names), "learning_rate");
  EXPECT_EQ(nearest_name("sede", names), "seed");
  EXPECT_EQ(nearest_name("zzzzzz", names), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'x'), names), "");
}

}  // namespace
}  // namespace shardlora
