// Files that no honest writer makes. Each must be one Error that names the file, never a crash, a huge allocation or a
// read outside the file (the sanitizer build watches that).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/error.h"
#include "io/gguf.h"
#include "io/gguf_bytes.h"
#include "io/memory_file.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;

constexpr std::uint32_t kF32 = 0, kQ8_0 = 8, kString = 8, kArray = 9;

std::string honest() {
  return GgufBytes()
      .text("general.architecture", "llama")
      .u32("general.alignment", 32)
      .texts("names", {"a", "bc"})
      .i32s("numbers", {1, 2, 3})
      .tensor("t", {32, 2}, kQ8_0, 0)
      .tensor("u", {3}, kF32, 96)
      .data(std::string(96 + 12, '\1'))
      .bytes();
}

std::string error_of(const std::string& bytes) {
  const MemoryFile bytes_as_file(bytes);
  const auto path = bytes_as_file.path();
  try {
    const GgufFile file(path);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(path.string()));
    return error.what();
  }
  return "";
}

TEST(HostileGguf, TheHonestFileOpens) { EXPECT_EQ(error_of(honest()), ""); }

TEST(HostileGguf, EveryTruncationIsAnError) {
  const std::string bytes = honest();
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_NE(error_of(bytes.substr(0, length)), "") << length;
}

TEST(HostileGguf, FlippedBytesNeverCrash) {
  std::mt19937 random(5);
  const std::string bytes = honest();
  int errors = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string garbled = bytes;
    for (int n = 0; n < 2; ++n) garbled[random() % 300] = static_cast<char>(random());
    errors += error_of(garbled).empty() ? 0 : 1;
  }
  EXPECT_GT(errors, 1000);
}

TEST(HostileGguf, HeadersThatLieAreErrors) {
  GgufBytes file;
  file.magic = "GGML";
  EXPECT_THAT(error_of(file.bytes() + std::string(64, '\0')), HasSubstr("does not begin with GGUF"));
  file.magic = "GGUF";
  for (const std::uint32_t version : {0U, 1U, 4U}) {
    file.version = version;
    EXPECT_THAT(error_of(file.bytes()), HasSubstr("supported are 2 and 3"));
  }
  file.version = 0x03000000;
  EXPECT_THAT(error_of(file.bytes()), HasSubstr("big-endian"));
  file.version = 2;
  EXPECT_EQ(error_of(file.bytes()), "");
  for (const std::uint64_t many : {std::uint64_t{1}, std::uint64_t{1} << 32, ~std::uint64_t{0}}) {
    file.extra_tensors = many, file.extra_keys = 0;
    EXPECT_THAT(error_of(file.bytes()), HasSubstr("tensors in"));
    file.extra_tensors = 0, file.extra_keys = many;
    EXPECT_THAT(error_of(file.bytes()), HasSubstr("metadata keys in"));
  }
}

TEST(HostileGguf, LengthsBeyondTheFileAreErrors) {
  const auto raw64 = [](std::uint64_t n) { return GgufBytes::raw(n); };
  const auto array = [&](std::uint32_t type, std::uint64_t count) { return GgufBytes::raw(type) + raw64(count); };
  EXPECT_THAT(error_of(GgufBytes().key("k", kString, raw64(1 << 20)).bytes()), HasSubstr("remain"));
  EXPECT_THAT(error_of(GgufBytes().key("k", kString, raw64(~0ULL)).bytes()), HasSubstr("at most"));
  EXPECT_THAT(error_of(GgufBytes().key("k", kArray, array(5, 1 << 20)).bytes()),
              HasSubstr("an array of 1048576 elements"));
  EXPECT_THAT(error_of(GgufBytes().key("k", kArray, array(5, 1ULL << 62)).bytes()), HasSubstr("at most"));
  EXPECT_THAT(error_of(GgufBytes().key("k", kArray, array(kArray, 1)).bytes()), HasSubstr("an array of type 9"));
  EXPECT_THAT(error_of(GgufBytes().key("k", 13, raw64(0)).bytes()), HasSubstr("value type 13"));
  EXPECT_THAT(error_of(GgufBytes().key("k", 7, "\2").bytes()), HasSubstr("boolean"));
  EXPECT_THAT(error_of(GgufBytes().key("k", 10, raw64(~0ULL)).bytes()), HasSubstr("too large"));
}

TEST(HostileGguf, NamesThatOccurTwiceAreErrors) {
  EXPECT_THAT(error_of(GgufBytes().u32("k", 1).u32("k", 1).bytes()), HasSubstr("metadata key k occurs twice"));
  EXPECT_THAT(
      error_of(GgufBytes().tensor("t", {1}, kF32, 0).tensor("t", {1}, kF32, 32).data(std::string(64, '\0')).bytes()),
      HasSubstr("tensor t occurs twice"));
}

TEST(HostileGguf, ShapesThatWrapAreErrors) {
  const std::string data(256, '\0');
  const auto with = [&](std::vector<std::uint64_t> dims, std::uint32_t type = kF32) {
    return error_of(GgufBytes().tensor("t", dims, type, 0).data(data).bytes());
  };
  EXPECT_EQ(with({4, 16}), "");
  EXPECT_THAT(with({1ULL << 32, 1ULL << 32}), HasSubstr("too many values"));
  EXPECT_THAT(with({1ULL << 62, 1}), HasSubstr("too many values"));  // fits as a count, not as bytes
  EXPECT_THAT(with({1ULL << 63, 2}), HasSubstr("too large"));
  EXPECT_THAT(with({0, 1ULL << 60}), HasSubstr("dimension of 0"));
  EXPECT_THAT(with({1, 1, 1, 1, 1}), HasSubstr("at most 4"));
  EXPECT_THAT(with({48, 1}, kQ8_0), HasSubstr("stores by 32"));
  EXPECT_THAT(with({65}), HasSubstr("needs 260 bytes"));
}

TEST(HostileGguf, OffsetsOutsideTheFileAreErrors) {
  const std::string data(256, '\0');
  const auto at = [&](std::uint64_t offset) {
    return error_of(GgufBytes().tensor("t", {8}, kF32, offset).data(data).bytes());
  };
  EXPECT_EQ(at(224), "");
  EXPECT_THAT(at(256), HasSubstr("needs 32 bytes at"));
  EXPECT_THAT(at(4), HasSubstr("not a multiple of 32"));
  EXPECT_THAT(at(~std::uint64_t{31}), HasSubstr("needs 32 bytes at"));
  EXPECT_THAT(error_of(GgufBytes().tensor("t", {9}, kF32, 0).tensor("u", {1}, kF32, 32).data(data).bytes()),
              HasSubstr("tensors t and u share bytes"));
}

TEST(HostileGguf, AlignmentsThatAreNoneAreErrors) {
  for (const std::uint32_t alignment : {0U, 3U, 48U, 8192U, 0xFFFFFFFFU})
    EXPECT_THAT(error_of(GgufBytes().u32("general.alignment", alignment).bytes()), HasSubstr("general.alignment"))
        << alignment;
  const std::string data(64, '\0');
  EXPECT_EQ(error_of(GgufBytes().u32("general.alignment", 64).tensor("t", {16}, kF32, 0).data(data).bytes(64)), "");
}

TEST(HostileGguf, DirectoriesAndMissingFilesAreErrors) {
  EXPECT_THROW(GgufFile("/"), Error);
  EXPECT_THROW(GgufFile("/dev/null"), Error);
  EXPECT_THROW(GgufFile("no such file.gguf"), Error);
}

}  // namespace
}  // namespace shardlora
