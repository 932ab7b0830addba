// A base that shardlora quantize has prepared: a folder of packed tensors with their manifest, tokenizer and template.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <unordered_map>

#include "base/available_memory.h"
#include "base/crc32c.h"
#include "base/direct_reader.h"
#include "base/file.h"
#include "checkpoint/prepared_manifest.h"
#include "checkpoint/tensor_source.h"
#include "param/layout.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

// What the page cache can hold is read from the disk once; a larger file would push out itself, and all else.
ReadRoute route_for(std::uint64_t bytes) {
  return bytes < available_memory().value_or(0) / 2 ? ReadRoute::kRingThroughCache : ReadRoute::kRing;
}

class PreparedSource final : public TensorSource {
 public:
  explicit PreparedSource(const fs::path& folder)
      : path_(folder),
        manifest_(read_manifest(folder / kManifestFile)),
        reader_(folder / kTensorsFile, {}, route_for(manifest_.bytes())) {
    check_manifest(manifest_, folder / kManifestFile, reader_.file().size());
    config_ = config_of(manifest_.model());
    seen_ = std::vector<std::atomic<std::uint8_t>>(reader_.file().size() / kPage);
    for (const proto::PreparedTensor& t : manifest_.tensors()) by_name_.emplace(t.name(), &t);
    for (const proto::PreparedFile& file : manifest_.files())
      if (sha256_of_file(folder / file.name()) != file.sha256())
        fail("{}: is not the file that this base was prepared with; put that back, or prepare the base again",
             (folder / file.name()).string());
  }

  const ModelConfig& config() const override { return config_; }
  const fs::path& path() const override { return path_; }
  // Of the manifest, which holds the digests of all else, wherever its source lay.
  std::string sha256() const override {
    proto::PreparedBase content = manifest_;
    content.clear_source();
    return sha256_of(content.SerializeAsString());
  }
  bool is_prepared() const override { return true; }

  StoredName name_of(const std::string& parameter) const override { return {parameter}; }
  const fs::path& file_of(const std::string&) const override { return reader_.file().path(); }
  std::optional<Shape> shape_of(const std::string& name) const override {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? std::nullopt : std::optional(shardlora::shape_of(*found->second));
  }
  std::optional<Format> format_of(const std::string& name) const override {
    return shardlora::format_of(tensor(name).packing());
  }

  void read_f32(const std::string& name, std::span<float> out, std::int64_t first) const override {
    const auto read = [&](int section, std::span<std::byte> to, std::size_t at) {
      read_section(name, section, to, at);
    };
    dequantize(shardlora::format_of(tensor(name).packing()), shardlora::shape_of(tensor(name)), read, first, out);
  }

  void read_section(const std::string& name, int section, std::span<std::byte> out, std::size_t first) const override {
    const proto::PreparedTensor& t = tensor(name);
    const ParamLayout layout = layout_of(shardlora::format_of(t.packing()), shardlora::shape_of(t));
    read_bytes(name, out, layout.sections[static_cast<std::size_t>(section)] + first);
  }

  // The checksum of a chunk is looked at when it is first read; so chunks of which only a part is wanted are then read
  // whole.
  void read_bytes(const std::string& name, std::span<std::byte> out, std::size_t first) const override {
    if (out.empty()) return;
    const proto::PreparedTensor& t = tensor(name);
    const std::uint64_t begin = first, end = begin + out.size(), size = manifest_.chunk_bytes();
    CHECK(end <= t.bytes(), "bytes [{}, {}) of {}", begin, end, name);
    const std::uint64_t whole_from = (begin + size - 1) / size * size,
                        whole_to = std::max(whole_from, end == t.bytes() ? end : end / size * size);
    const auto here = [&](std::uint64_t from, std::uint64_t to) {
      return out.subspan(static_cast<std::size_t>(from - begin), static_cast<std::size_t>(to - from));
    };
    if (const std::uint64_t to = std::min(end, whole_from); begin < to) read_part(t, begin, here(begin, to));
    if (whole_from < whole_to && whole_from < end) {
      const std::span<std::byte> whole = here(whole_from, whole_to);
      reader_.read(whole.data(), whole.size(), t.offset() + whole_from);
      for (std::uint64_t at = whole_from; at < whole_to; at += size)
        check(t, at / size, here(at, std::min(at + size, whole_to)));
    }
    if (whole_from < end && whole_to < end) read_part(t, whole_to, here(whole_to, end));
    reader_.file().check_unchanged();  // what was right once is not looked at again
  }

  void check_readable() const override {}
  std::vector<std::string> parameters() const override {
    std::vector<std::string> names;
    for (const proto::PreparedTensor& t : manifest_.tensors()) names.push_back(t.name());
    return names;
  }

 private:
  // Bytes of one chunk.
  void read_part(const proto::PreparedTensor& t, std::uint64_t begin, std::span<std::byte> out) const {
    const std::uint64_t size = manifest_.chunk_bytes(), chunk = begin / size, from = chunk * size;
    if (seen(t, chunk)) return reader_.file().read_at(t.offset() + begin, out);
    std::vector<std::byte> whole(static_cast<std::size_t>(std::min(size, t.bytes() - from)));
    reader_.file().read_at(t.offset() + from, whole);
    check(t, chunk, whole);
    std::memcpy(out.data(), whole.data() + (begin - from), out.size());
  }

  std::atomic<std::uint8_t>& seen(const proto::PreparedTensor& t, std::uint64_t chunk) const {
    return seen_[static_cast<std::size_t>(t.offset() / kPage + chunk)];
  }

  void check(const proto::PreparedTensor& t, std::uint64_t chunk, std::span<const std::byte> bytes) const {
    if (seen(t, chunk)) return;
    const std::uint64_t from = t.offset() + chunk * manifest_.chunk_bytes();
    if (crc32c(bytes) != t.crc32c(static_cast<int>(chunk)))
      fail(
          "{}: bytes {} to {} (of {}) are not those that were written; the disk or the copy is damaged. Remove the "
          "folder and make the base again, as shardlora quantize does",
          reader_.file().path().string(), from, from + bytes.size(), t.name());
    seen(t, chunk) = 1;
  }

  const proto::PreparedTensor& tensor(const std::string& name) const {
    const auto found = by_name_.find(name);
    CHECK(found != by_name_.end(), "tensor {} is read before it was looked for", name);
    return *found->second;
  }

  fs::path path_;
  proto::PreparedBase manifest_;
  mutable DirectReader reader_;
  ModelConfig config_;
  std::unordered_map<std::string, const proto::PreparedTensor*> by_name_;
  // Of every chunk, from its tensor's first page on, whether its bytes were right once.
  mutable std::vector<std::atomic<std::uint8_t>> seen_;
};

}  // namespace

bool holds_prepared_base(const fs::path& folder) {
  if (fs::exists(folder / kManifestFile)) return true;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, none))
    if (entry.path().filename().string().starts_with(kPartPrefix))
      fail("{}: this base is not finished; the same shardlora quantize command goes on with it", folder.string());
  return false;
}

std::unique_ptr<const TensorSource> open_prepared(const fs::path& folder) {
  return std::make_unique<PreparedSource>(folder);
}

}  // namespace shardlora
