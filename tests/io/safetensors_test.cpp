#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "base/error.h"
#include "io/gguf_bytes.h"
#include "io/json.h"
#include "io/memory_file.h"
#include "io/temporary_directory.h"
#include "io/write_safetensors.h"

namespace shardlora {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::filesystem::path kReference = TEST_DATA "/io/reference.safetensors";

std::string with_header(const std::string& header, const std::string& data) {
  return GgufBytes::raw<std::uint64_t>(header.size()) + header + data;
}

std::string error_of(const std::string& bytes) {
  const MemoryFile bytes_as_file(bytes);
  const auto path = bytes_as_file.path();
  try {
    const SafetensorsFile file(path);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(path.string()));
    return error.what();
  }
  return "";
}

TEST(Safetensors, ReadsWhatTheReferenceWriterWrote) {
  const SafetensorsFile file(kReference);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.tensors().size(), 7U);
  // The same random values as in the GGUF golden, rounded to the tensor's type.
  const auto golden = parse_json(read_text(TEST_DATA "/io/types.json", 1 << 20), "types.json");
  const auto value = [&](const char* type, std::size_t i) {
    return std::bit_cast<float>(golden[type][i].get<std::uint32_t>());
  };
  std::vector<float> f32(192), bf16(192), f16(64), scalar(1);
  file.read_f32(file.tensor("b.f32"), f32);
  file.read_f32(file.tensor("a.bf16"), bf16);
  file.read_f32(file.tensor("c.f16"), f16, 64);
  file.read_f32(file.tensor("e.scalar"), scalar);
  for (std::size_t i = 0; i < 192; ++i) EXPECT_EQ(f32[i], value("f32", i));
  for (std::size_t i = 0; i < 192; ++i) EXPECT_EQ(bf16[i], value("bf16", 192 + i));
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(f16[i], value("f16", 64 + i));
  EXPECT_EQ(scalar[0], 2.5F);
  EXPECT_EQ(file.tensor("e.scalar").shape, Shape{});
  EXPECT_EQ(file.tensor("f.empty").shape, (Shape{0, 3}));
  std::vector<std::byte> bytes(3);
  file.read_bytes(file.tensor("d.u8"), bytes, 2);
  EXPECT_THAT(bytes, testing::ElementsAre(std::byte{2}, std::byte{3}, std::byte{4}));
  EXPECT_EQ(file.find("h"), nullptr);
  EXPECT_THROW(file.tensor("h"), Error);
  EXPECT_THAT([&] { file.read_f32(file.tensor("d.u8"), scalar); },
              ThrowsMessage<Error>(HasSubstr("tensor d.u8 is U8")));
}

TEST(Safetensors, WritesTheBytesOfTheReferenceWriter) {
  const SafetensorsFile file(kReference);
  const std::map<std::string, DType> dtypes = {
      {"F32", DType::kF32}, {"BF16", DType::kBF16}, {"F16", DType::kF16}, {"I32", DType::kI32}, {"U8", DType::kU8}};
  std::vector<std::vector<std::byte>> bytes;
  std::vector<NamedTensor> tensors;
  for (const SafetensorsEntry& entry : file.tensors()) {
    bytes.emplace_back(entry.bytes);
    file.read_bytes(entry, bytes.back());
    tensors.insert(tensors.begin(), {entry.name, {bytes.back().data(), dtypes.at(entry.dtype), entry.shape}});
  }
  const TemporaryDirectory directory;
  write_safetensors(directory.path() / "out.safetensors", tensors);
  EXPECT_EQ(read_text(directory.path() / "out.safetensors", 1 << 20), read_text(kReference, 1 << 20));
}

TEST(Safetensors, WritesMetadataAndAnEmptyFile) {
  const TemporaryDirectory directory;
  write_safetensors(directory.path() / "empty", {}, {{"note", "\"quoted\" \u00e9"}});
  const SafetensorsFile file(directory.path() / "empty");
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}, {"note", "\"quoted\" \u00e9"}}));
  EXPECT_TRUE(file.tensors().empty());
}

// What the reference reader takes, too.
TEST(Safetensors, PassesOverWhatAHeaderSaysBesides) {
  const std::string data(16, '\0');
  const MemoryFile bytes(with_header(R"({"__metadata__":null,"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],)"
                                     R"("crc":{"of":[1]},"note":null},"e":{"data_offsets":[16,16],"shape":[0,2],)"
                                     R"("dtype":"I64"}})",
                                     data));
  const SafetensorsFile file(bytes.path());
  EXPECT_TRUE(file.metadata().empty());
  EXPECT_EQ(file.tensor("a").shape, (Shape{4}));
  EXPECT_EQ(file.tensor("e").bytes, 0U);
}

TEST(HostileSafetensors, EveryTruncationIsAnError) {
  const std::string bytes = read_text(kReference, 1 << 20);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_NE(error_of(bytes.substr(0, length)), "") << length;
  EXPECT_THAT(error_of(bytes + "x"), HasSubstr("the tensors end at byte"));
}

TEST(HostileSafetensors, FlippedBytesNeverCrash) {
  std::mt19937 random(6);
  const std::string bytes = read_text(kReference, 1 << 20);
  int errors = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string garbled = bytes;
    garbled[random() % 480] = static_cast<char>(random());
    errors += error_of(garbled).empty() ? 0 : 1;
  }
  EXPECT_GT(errors, 1000);
}

TEST(HostileSafetensors, HeadersThatLieAreErrors) {
  const std::string data(16, '\0');
  const auto with = [&](const std::string& header) { return error_of(with_header(header, data)); };
  EXPECT_EQ(with(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}   )"), "");
  EXPECT_THAT(with(R"( {"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})"), HasSubstr("does not begin with {"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":1})"), HasSubstr("occurs twice"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,20]}})"), HasSubstr("does not lie"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}})"), HasSubstr("does not lie"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}})"), HasSubstr("does not lie"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}})"), HasSubstr("does not lie"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})"), HasSubstr("end at byte"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[4,16]}})"), HasSubstr("begins at byte"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},)"
                   R"("b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}})"),
              HasSubstr("begins at byte"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"),
              HasSubstr("too many"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})"),
              HasSubstr("too many"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})"), HasSubstr("shape holds -4"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}})"), HasSubstr("shape holds 4.0"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[1,1,1,1,4],"data_offsets":[0,16]}})"), HasSubstr("at most 4"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}})"), HasSubstr("unknown dtype F33"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4]}})"), HasSubstr("is not {dtype, shape, data_offsets}"));
  EXPECT_THAT(with(R"({"a":[1]})"), HasSubstr("is not {dtype, shape, data_offsets}"));
  EXPECT_THAT(with(R"({"a":{"shape":[4],"data_offsets":[0,16],"crc":1}})"),
              HasSubstr("is not {dtype, shape, data_offsets}"));
  EXPECT_THAT(with(R"({"__metadata__":{"n":1}})"), HasSubstr("is not a string"));
  EXPECT_THAT(with(R"({"__metadata__":{"n":null}})"), HasSubstr("is not a string"));
  EXPECT_THAT(with(R"({"__metadata__":[]})"), HasSubstr("__metadata__ is not an object"));
  EXPECT_THAT(error_of(GgufBytes::raw<std::uint64_t>(100'000'001) + "{}"), HasSubstr("at most"));
  EXPECT_THAT(error_of(GgufBytes::raw<std::uint64_t>(3) + "{}"), HasSubstr("a header of 3 bytes"));
}

}  // namespace
}  // namespace shardlora
