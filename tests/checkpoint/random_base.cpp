#include "checkpoint/random_base.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "base/disk.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/philox.h"
#include "checkpoint/folder_config.h"
#include "checkpoint/prepared_plan.h"
#include "param/layout.h"
#include "quant/nf4.h"
#include "tensor/pages.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

constexpr Format kLinearFormat{.codec = Codec::kNF4, .block = 64, .double_quant = true};
constexpr Format kTableFormat{.codec = Codec::kBF16};
// The levels' root mean square is 0.517, each as likely as the others, so weights deviate by 0.02.
constexpr float kAbsmax = 0.0387F;
constexpr float kAbsmaxRange = 0.01F;  // a block's absmax differs from that by so much at most
constexpr float kDeviation = 0.02F;
constexpr std::size_t kPiece = 32 * kPreparedChunk;  // made while the one before is hashed and written

// The flat bytes of one tensor, any part of them on its own.
class RandomTensor {
 public:
  RandomTensor(const UnitSpec& unit, std::size_t index, std::uint64_t seed)
      : layout_(unit), param_(&unit.params[0]), sections_(section_bytes(param_->format, param_->shape)) {
    constexpr std::uint32_t kStream = 0xBA5E;
    const PhiloxBlock mixed = philox({static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
                                     {static_cast<std::uint32_t>(index), 0, 0, kStream});
    key_ = {mixed.v[0], mixed.v[1]};
  }

  // out = the bytes from `begin` on; both are whole pages.
  void fill(std::size_t begin, std::span<std::byte> out) const {
    if (param_->format.dense())
      fill_normal(begin, out);
    else
      fill_random(begin, out);
    clear_gaps(begin, out);
    if (param_->shape.rank() == 1) fill_section(0, begin, out, [](std::size_t) { return to_bf16(1); });
    if (param_->format.dense()) return;
    fill_section(2, begin, out, [&](std::size_t group) { return scale(group); });
    const Nf4Nested nested{kAbsmax, kDynamicMap};
    const auto* bytes = reinterpret_cast<const std::byte*>(&nested);
    fill_section(3, begin, out, [&](std::size_t i) { return bytes[i]; });
  }

 private:
  static constexpr std::size_t kLanes =
      64;  // blocks drawn at a time: their words lie side by side, as vector code wants
  using Words = std::array<std::uint32_t, 4 * kLanes>;
  Words words(std::size_t batch) const {
    Words words;
    const auto first = static_cast<std::uint32_t>(batch * kLanes);
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const PhiloxBlock block = philox(key_, {first + lane, 0, 0, 0});
      for (std::size_t w = 0; w < 4; ++w) words[w * kLanes + lane] = block.v[w];
    }
    return words;
  }

  void fill_random(std::size_t begin, std::span<std::byte> out) const {
    for (std::size_t i = 0; i < out.size(); i += sizeof(Words)) {
      const Words random = words((begin + i) / sizeof random);
      std::memcpy(out.data() + i, random.data(), sizeof random);
    }
  }
  // bf16. The sum of four uniform bytes is as good as normal here.
  void fill_normal(std::size_t begin, std::span<std::byte> out) const {
    constexpr float kMean = 510, kSumDeviation = 147.8F;
    std::array<BF16, 4 * kLanes> values;
    for (std::size_t i = 0; i < out.size(); i += sizeof values) {
      const Words random = words((begin + i) / sizeof values);
      for (std::size_t v = 0; v < values.size(); ++v) {
        const std::uint32_t w = random[v], sum = (w & 255U) + (w >> 8U & 255U) + (w >> 16U & 255U) + (w >> 24U);
        values[v] = to_bf16((static_cast<float>(sum) - kMean) * (kDeviation / kSumDeviation));
      }
      std::memcpy(out.data() + i, values.data(), sizeof values);
    }
  }
  float scale(std::size_t group) const {
    const PhiloxBlock block = philox(key_, {static_cast<std::uint32_t>(group), 0, 0, 1});
    return (0.5F + 0.5F * uniform(block.v[0])) * kAbsmaxRange;
  }

  // The elements of a section that lie in [begin, begin + out.size()).
  template <typename Element>
  void fill_section(int section, std::size_t begin, std::span<std::byte> out, const Element& element) const {
    using T = decltype(element(0));
    const std::size_t at = layout_.section_offset(0, section), end = at + sections_[static_cast<std::size_t>(section)];
    const std::size_t left = std::max(begin, at), right = std::min(begin + out.size(), end);
    for (std::size_t byte = left; byte < right; byte += sizeof(T)) {
      const T value = element((byte - at) / sizeof(T));
      std::memcpy(out.data() + (byte - begin), &value, sizeof(T));
    }
  }
  // What lies between sections, and behind the last one, is 0.
  void clear_gaps(std::size_t begin, std::span<std::byte> out) const {
    std::size_t next = layout_.frozen_bytes();
    for (int s = kSections - 1; s >= 0; --s) {
      const std::size_t bytes = sections_[static_cast<std::size_t>(s)], at = layout_.section_offset(0, s);
      if (bytes == 0) continue;
      const std::size_t left = std::max(begin, at + bytes), right = std::min(begin + out.size(), next);
      if (left < right) std::memset(out.data() + (left - begin), 0, right - left);
      next = at;
    }
  }

  UnitLayout layout_;
  const ParamSpec* param_;
  SectionBytes sections_;
  PhiloxKey key_;
};

// Bytes of a tensor on their way to the disk, at a page's beginning in memory as in the file.
struct Piece {
  std::uint64_t offset = 0;  // in the file
  std::vector<std::byte> memory = std::vector<std::byte>(kPiece + kPage);
  std::span<std::byte> bytes;

  void begin(std::uint64_t at, std::size_t size) {
    const std::size_t skew = reinterpret_cast<std::uintptr_t>(memory.data()) % kPage;
    offset = at;
    bytes = std::span(memory).subspan(kPage - skew, size);
  }
};

// Makes pieces in order. While one is made in several threads, the one before is hashed in another, and written past
// the page cache, which would only be a copy more.
class PieceWriter {
 public:
  PieceWriter(const fs::path& file, std::uint64_t bytes, int threads)
      : file_(file, bytes),
        direct_(disk().open(file.c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC, 0)),
        threads_(threads + 1) {}  // the one that writes waits for the disk
  PieceWriter(const PieceWriter&) = delete;
  PieceWriter& operator=(const PieceWriter&) = delete;
  ~PieceWriter() {
    if (direct_ >= 0) disk().close(direct_);
  }

  // make(first, out) makes the bytes of the piece from `first` on; it is called for one chunk at a time.
  template <typename Make>
  void add(std::uint64_t offset, std::size_t bytes, const Make& make) {
    next_.begin(offset, bytes);
    const std::size_t chunks = (bytes + kPreparedChunk - 1) / kPreparedChunk;
    parallel_for(chunks + 2, threads_, [&](std::size_t job) {
      if (job == 0) return write(last_);
      if (job == 1) return digest_.add(last_.bytes);
      const std::size_t first = (job - 2) * kPreparedChunk;
      make(first, next_.bytes.subspan(first, std::min<std::size_t>(kPreparedChunk, bytes - first)));
    });
    std::swap(last_, next_);
  }
  // SHA-256 of all that was added, when it is on the disk.
  std::string finish() {
    add(0, 0, [](std::size_t, std::span<std::byte>) {});
    file_.sync();
    return digest_.hex();
  }

 private:
  // What O_DIRECT does not take, on some file systems all of it, goes through the page cache.
  void write(const Piece& piece) {
    ssize_t done = 0;
    if (direct_ >= 0)
      done = disk().pwrite(direct_, piece.bytes.data(), piece.bytes.size(), static_cast<off_t>(piece.offset));
    const auto written = static_cast<std::size_t>(std::max<ssize_t>(done, 0));
    file_.write_at(piece.offset + written, piece.bytes.subspan(written));
  }

  WritableFile file_;
  int direct_;
  int threads_;
  Sha256 digest_;
  Piece last_, next_;
};

void make_tensor(const RandomTensor& random, proto::PreparedTensor& t, PieceWriter& writer) {
  const std::size_t bytes = t.bytes();
  t.mutable_crc32c()->Resize(static_cast<int>((bytes + kPreparedChunk - 1) / kPreparedChunk), 0);
  for (std::size_t begin = 0; begin < bytes; begin += kPiece)
    writer.add(t.offset() + begin, std::min(kPiece, bytes - begin), [&](std::size_t first, std::span<std::byte> out) {
      random.fill(begin + first, out);
      t.set_crc32c(static_cast<int>((begin + first) / kPreparedChunk), crc32c(out));
    });
}

}  // namespace

std::uint64_t make_random_base(const fs::path& model, const fs::path& out, const RandomBase& options) {
  const std::string file = (model / "config.json").string();
  ModelConfig config = config_of(read_config_json(file), file, true);
  config.layers = options.layers.value_or(config.layers);
  check(config, file);
  if (fs::exists(out) && !fs::is_empty(out)) fail("{}: there is something already; name a new folder", out.string());
  fs::create_directories(out);
  PreparedPlan plan = plan_prepared(config, {config, rest_as(kLinearFormat, kTableFormat), nullptr, kUncut},
                                    [](const std::string&) { return kTableFormat; });
  check_room(out, plan.manifest.bytes());
  plan.manifest.set_source(fmt::format("random weights, seed {}", options.seed));
  plan.manifest.set_source_sha256(sha256_of(plan.manifest.source() + plan.manifest.model().SerializeAsString()));
  PieceWriter writer(out / kTensorsFile, plan.manifest.bytes(), options.threads);
  for (std::size_t i = 0; i < plan.units.size(); ++i)
    make_tensor({plan.units[i], i, options.seed}, *plan.manifest.mutable_tensors(static_cast<int>(i)), writer);
  plan.manifest.set_sha256(writer.finish());
  take_files(model, out, plan.manifest);
  write_manifest(out / kManifestFile, plan.manifest);
  return plan.manifest.bytes();
}

}  // namespace shardlora
