#include "checkpoint/prepare_base.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <thread>

#include "base/faulty_disk.h"
#include "base/file.h"
#include "checkpoint/error_of.h"
#include "checkpoint/pack_unit.h"
#include "checkpoint/tiny_llama.h"
#include "comm/single_rendezvous.h"
#include "comm/thread_rendezvous.h"
#include "quant/quantize.h"
#include "tensor/pages.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Fault = FaultyDisk::Fault;

constexpr Format kNf4{.codec = Codec::kNF4, .block = 64, .double_quant = true}, kF32{.codec = Codec::kF32};

std::string bytes_of(const fs::path& file) { return read_text(file, 1 << 24); }

void spoil(const fs::path& file, std::size_t at, char change) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekg(static_cast<std::streamoff>(at));
  const char byte = static_cast<char>(stream.get() ^ change);
  stream.seekp(static_cast<std::streamoff>(at));
  stream.put(byte);
}

class PreparedBase : public testing::Test {
 protected:
  PreparedBase() : source_(tiny_llama()) {}

  Prepared prepare(const fs::path& folder, std::uint64_t sync_bytes = 1) const {
    SingleRendezvous rendezvous;
    return prepare_base(source_.base, rest_as(kNf4, kF32), folder, rendezvous, nullptr, sync_bytes);
  }
  fs::path folder(const std::string& name) const { return source_.directory.path() / name; }
  // Every unit in the formats that it was prepared in.
  ModelSpec model() const { return {source_.base.config(), rest_as(kNf4, kF32), nullptr}; }

  const Opened source_;
};

TEST_F(PreparedBase, GivesTheBytesOfItsSource) {
  EXPECT_EQ(prepare(folder("base")), Prepared::kMade);
  const BaseModel base = BaseModel::open(folder("base"));
  EXPECT_TRUE(base.is_prepared());
  const ModelSpec spec = model();
  base.check(spec);
  for (const UnitSpec& unit : spec.units()) {
    const UnitLayout layout(unit);
    std::vector<std::byte> from_source(layout.frozen_bytes()), from_base(from_source.size());
    pack_unit(source_.base, layout, from_source);
    pack_unit(base, layout, from_base);
    EXPECT_EQ(from_base, from_source) << unit.name;
    for (const ParamSpec& param : unit.params) {
      std::vector<float> theirs(static_cast<std::size_t>(param.shape.numel())), ours(theirs.size());
      base.read(base.name_of(param.name), param, ours);
      if (!param.format.dense()) continue;
      source_.base.read(source_.base.name_of(param.name), param, theirs);
      EXPECT_EQ(ours, theirs) << param.name;
    }
  }
}

TEST_F(PreparedBase, GivesEveryRankItsShareAlone) {
  prepare(folder("base"));
  const BaseModel base = BaseModel::open(folder("base"));
  // The embedding rests in another dtype than it is stored in.
  const ModelSpec spec(base.config(), rest_as(kNf4, {.codec = Codec::kBF16}), nullptr);
  for (const UnitSpec& unit : spec.units()) {
    const UnitLayout layout(unit);
    ASSERT_TRUE(can_pack_share(base, layout));
    std::vector<std::byte> whole(layout.frozen_bytes());
    pack_unit(source_.base, layout, whole);
    for (const int ranks : {1, 2, 3, 5}) {
      const std::vector<std::size_t> cuts = equal_cuts(whole.size(), kPage, ranks);
      for (std::size_t r = 0; r + 1 < cuts.size(); ++r) {
        std::vector<std::byte> share(cuts[r + 1] - cuts[r], std::byte{0xAB});
        pack_share(base, layout, cuts[r], share);
        EXPECT_TRUE(std::equal(share.begin(), share.end(), whole.begin() + static_cast<std::ptrdiff_t>(cuts[r])))
            << unit.name << " " << r << " of " << ranks;
      }
    }
  }
  EXPECT_FALSE(can_pack_share(source_.base, UnitLayout(spec.units()[1])));
}

std::vector<float> values_of(const UnitLayout& layout, const std::vector<std::byte>& flat) {
  const PackedTensor table = layout.views(flat.data(), nullptr, DType::kF32)[0];
  std::vector<float> values(static_cast<std::size_t>(table.shape.numel()));
  dequantize(table, 0, values);
  return values;
}

// A table lies in it whole, wherever a model is cut; packed at once, packed from it or read by shares, a slice has the
// bytes and the values of the whole.
TEST(PreparedBaseOfALargeVocabulary, GivesEverySliceWhatTheWholeHas) {
  TinyGguf gguf = tiny_llama();
  TinyGguf::Entry& embedding = gguf.tensor("token_embd.weight");
  embedding.shape = {600, kHidden};
  embedding.values = normal_values(embedding.shape.numel(), 77);
  const Opened source(gguf);
  for (const Format& format : {kNf4, Format{.codec = Codec::kNF4, .block = 64}, Format{.codec = Codec::kBF16}}) {
    const fs::path folder = source.directory.path() / name_of(format);
    SingleRendezvous rendezvous;
    prepare_base(source.base, rest_as(kNf4, format), folder, rendezvous);
    const BaseModel base = BaseModel::open(folder);
    const ModelSpec uncut(base.config(), rest_as(kNf4, format), nullptr),
        cut(base.config(), rest_as(kNf4, format), nullptr, {.most_elements = 256 * kHidden});
    base.check(cut);
    const UnitLayout whole(uncut.units()[0]);
    std::vector<std::byte> flat(whole.frozen_bytes());
    pack_unit(source.base, whole, flat);
    const std::vector<float> all = values_of(whole, flat);
    ASSERT_EQ(cut.slices(), 3U);
    for (std::size_t s = 0; s < cut.slices(); ++s) {
      const UnitLayout layout(cut.units()[cut.embedding_unit(s)]);
      std::vector<std::byte> from_source(layout.frozen_bytes()), from_base(from_source.size());
      pack_unit(source.base, layout, from_source);
      pack_unit(base, layout, from_base);
      EXPECT_EQ(from_base, from_source) << "slice " << s << " of " << name_of(format);
      const std::vector<float> values = values_of(layout, from_source);
      EXPECT_TRUE(
          std::equal(values.begin(), values.end(), all.begin() + static_cast<std::ptrdiff_t>(s) * 256 * kHidden));
      ASSERT_TRUE(can_pack_share(base, layout));
      for (const std::size_t pages : {1U, 3U}) {
        std::vector<std::byte> shares(from_source.size(), std::byte{0xAB});
        for (std::size_t at = 0; at < shares.size(); at += pages * kPage)
          pack_share(base, layout, at, std::span(shares).subspan(at, std::min(pages * kPage, shares.size() - at)));
        EXPECT_EQ(shares, from_source) << "slice " << s << " of " << name_of(format) << ", " << pages << " pages";
      }
    }
  }
}

TEST_F(PreparedBase, IsTheSameFromAnyNumberOfRanks) {
  prepare(folder("one"));
  {
    const auto ranks = make_thread_ranks(3);
    std::vector<std::jthread> threads;
    for (const auto& rank : ranks)
      threads.emplace_back(
          [&] { prepare_base(source_.base, rest_as(kNf4, kF32), folder("three"), *rank, nullptr, 1); });
  }
  for (const char* file : {"tensors.bin", "base.pb"})
    EXPECT_EQ(bytes_of(folder("one") / file), bytes_of(folder("three") / file));
}

TEST_F(PreparedBase, IsLeftAloneWhereItIsThereAlready) {
  prepare(folder("base"));
  FaultyDisk disk;
  const DiskInstead in_place(disk);
  EXPECT_EQ(prepare(folder("base")), Prepared::kWasThere);
  EXPECT_EQ(disk.changes(), 0);
}

TEST_F(PreparedBase, NeverTakesThePlaceOfAnother) {
  prepare(folder("base"));
  const std::string before = bytes_of(folder("base") / "tensors.bin");
  SingleRendezvous rendezvous;
  EXPECT_THAT(error_of([&] { prepare_base(source_.base, rest_as(kF32, kF32), folder("base"), rendezvous); }),
              HasSubstr("holds another base already"));
  TinyGguf other = tiny_llama();
  other.tensor("blk.0.ffn_up.weight").values[7] += 1;
  const Opened opened(other);
  EXPECT_THAT(error_of([&] { prepare_base(opened.base, rest_as(kNf4, kF32), folder("base"), rendezvous); }),
              HasSubstr("holds another base already"));
  fs::create_directory(folder("mine"));
  std::ofstream(folder("mine") / "thesis.txt") << "years";
  EXPECT_THAT(error_of([&] { prepare(folder("mine")); }), HasSubstr("holds thesis.txt, which is of no base"));
  EXPECT_EQ(bytes_of(folder("base") / "tensors.bin"), before);
}

// Wherever the power goes or the disk is full: no folder looks whole that is not, and the same command goes on.
TEST_F(PreparedBase, SurvivesAFaultAtEveryCall) {
  FaultyDisk whole;
  {
    const DiskInstead in_place(whole);
    prepare(folder("whole"));
  }
  ASSERT_GT(whole.changes(), 80);
  for (const Fault fault : {Fault::kFull, Fault::kPower}) {
    for (int at = 0; at < whole.changes(); ++at) {
      const fs::path here = folder(fmt::format("{}-{}", static_cast<int>(fault), at));
      {
        FaultyDisk broken(fault, at);
        const DiskInstead in_place(broken);
        const std::string error = error_of([&] { prepare(here); });
        // Without an error only cleaning up was left.
        ASSERT_TRUE(!error.empty() || fs::exists(here / "base.pb")) << at;
      }
      if (fs::exists(here / "base.pb")) {
        EXPECT_EQ(bytes_of(here / "tensors.bin"), bytes_of(folder("whole") / "tensors.bin")) << at;
      } else {
        EXPECT_NE(error_of([&] { BaseModel::open(here); }), "") << at;
      }
      prepare(here);
      ASSERT_EQ(bytes_of(here / "tensors.bin"), bytes_of(folder("whole") / "tensors.bin")) << at;
      ASSERT_EQ(bytes_of(here / "base.pb"), bytes_of(folder("whole") / "base.pb")) << at;
      fs::remove_all(here);
    }
  }
}

TEST_F(PreparedBase, DoesAgainOnlyWhatWasNotSaved) {
  FaultyDisk whole;
  {
    const DiskInstead in_place(whole);
    prepare(folder("whole"));
  }
  std::vector<std::size_t> again;
  for (const int at : {whole.changes() / 4, whole.changes() / 2, whole.changes() * 3 / 4}) {
    {
      FaultyDisk broken(Fault::kPower, at);
      const DiskInstead in_place(broken);
      EXPECT_NE(error_of([&] { prepare(folder("base")); }), "");
    }
    FaultyDisk healthy;
    const DiskInstead in_place(healthy);
    prepare(folder("base"));
    again.push_back(healthy.written(folder("base") / "tensors.bin"));
    fs::remove_all(folder("base"));
  }
  EXPECT_LT(again[0], whole.written(folder("whole") / "tensors.bin"));
  EXPECT_LT(again[1], again[0]);
  EXPECT_LT(again[2], again[1]);
}

TEST_F(PreparedBase, NamesTheTensorOfAFlippedBitBeforeItIsUsed) {
  prepare(folder("base"));
  const std::size_t size = bytes_of(folder("base") / "tensors.bin").size();
  const ModelSpec spec = model();
  std::mt19937 random(1);
  for (int i = 0; i < 50; ++i) {
    const std::size_t at = random() % size;
    spoil(folder("base") / "tensors.bin", at, static_cast<char>(1 << (i % 8)));
    const BaseModel base = BaseModel::open(folder("base"));
    std::string error;
    for (const UnitSpec& unit : spec.units()) {
      const UnitLayout layout(unit);
      std::vector<std::byte> flat(layout.frozen_bytes());
      if (error.empty()) error = error_of([&] { pack_share(base, layout, 0, flat); });
    }
    EXPECT_THAT(error, HasSubstr("tensors.bin: bytes ")) << at;
    EXPECT_THAT(error, HasSubstr("are not those that were written")) << at;
    spoil(folder("base") / "tensors.bin", at, static_cast<char>(1 << (i % 8)));
  }
}

// Bytes that were right once are not checked again, so the file has to stay as it is.
TEST_F(PreparedBase, IsRefusedWhereItChangesWhileItIsRead) {
  prepare(folder("base"));
  const BaseModel base = BaseModel::open(folder("base"));
  const ModelSpec spec = model();
  const UnitLayout layout(spec.units()[1]);
  std::vector<std::byte> flat(layout.frozen_bytes());
  pack_share(base, layout, 0, flat);
  pack_share(base, layout, 0, flat);
  spoil(folder("base") / "tensors.bin", 7, 1);
  EXPECT_THAT(error_of([&] { pack_share(base, layout, 0, flat); }), HasSubstr("was changed while it was in use"));
}

TEST_F(PreparedBase, IsRefusedWhereAFileIsCutOrSwapped) {
  prepare(folder("base"));
  const auto open_error = [&] { return error_of([&] { BaseModel::open(folder("base")); }); };
  const std::string tensors = bytes_of(folder("base") / "tensors.bin"), manifest = bytes_of(folder("base") / "base.pb"),
                    metadata = bytes_of(folder("base") / "metadata.gguf");
  const auto write = [&](const char* file, const std::string& text) {
    write_file_atomically(folder("base") / file, text);
  };
  write("tensors.bin", tensors.substr(0, tensors.size() - 1));
  EXPECT_THAT(open_error(), HasSubstr(fmt::format("tensors.bin should have {} bytes and has {}", tensors.size(),
                                                  tensors.size() - 1)));
  write("tensors.bin", tensors);
  write("metadata.gguf", metadata + " ");
  EXPECT_THAT(open_error(), HasSubstr("metadata.gguf: is not the file that this base was prepared with"));
  write("metadata.gguf", metadata);
  write("base.pb", manifest.substr(0, manifest.size() / 2));
  EXPECT_THAT(open_error(), HasSubstr("base.pb: "));
  std::string newer = manifest;
  ASSERT_EQ(newer.substr(0, 2), std::string("\x08\x02"));  // field 1, a varint: the version
  newer[1] = 3;
  write("base.pb", newer);
  EXPECT_THAT(open_error(), HasSubstr("was made by a newer version of shardlora"));
  newer[1] = 1;
  write("base.pb", newer);
  EXPECT_THAT(open_error(), HasSubstr("was made by an older version of shardlora"));
  write("base.pb", manifest);
  EXPECT_EQ(open_error(), "");
}

// An Error or the same base: never a crash, never memory that the file does not justify (the suite runs under ASan).
TEST_F(PreparedBase, BearsAnyByteOfItsManifestToBeWrong) {
  prepare(folder("base"));
  const std::string manifest = bytes_of(folder("base") / "base.pb");
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    std::string garbled = manifest;
    for (int n = 0; n < 1 + i % 3; ++n) garbled[random() % garbled.size()] = static_cast<char>(random());
    std::ofstream(folder("base") / "base.pb", std::ios::binary) << garbled;
    try {
      const BaseModel base = BaseModel::open(folder("base"));
      base.check(model());
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace shardlora
