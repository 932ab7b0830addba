// A base that shardlora quantize has prepared: a folder of packed tensors with their manifest, tokenizer and template.
#include <cstring>
#include <unordered_map>

#include "base/crc32c.h"
#include "base/file.h"
#include "checkpoint/prepared_manifest.h"
#include "checkpoint/tensor_source.h"
#include "quant/quantize.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

class PreparedSource final : public TensorSource {
 public:
  explicit PreparedSource(const fs::path& folder)
      : path_(folder), manifest_(read_manifest(folder / kManifestFile)), tensors_(folder / kTensorsFile) {
    check_manifest(manifest_, folder / kManifestFile, tensors_.size());
    config_ = config_of(manifest_.model());
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
  const fs::path& file_of(const std::string&) const override { return tensors_.path(); }
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
    if (out.empty()) return;
    const proto::PreparedTensor& t = tensor(name);
    const std::uint64_t begin = t.sections(section) + first, end = begin + out.size(), chunk = manifest_.chunk_bytes();
    CHECK(end <= t.bytes(), "bytes [{}, {}) of {}", begin, end, name);
    std::vector<std::byte> whole(static_cast<std::size_t>(std::min(chunk, t.bytes())));
    for (std::uint64_t c = begin / chunk; c * chunk < end; ++c) {
      const std::uint64_t from = c * chunk, to = std::min(from + chunk, t.bytes());
      const std::span<std::byte> bytes(whole.data(), static_cast<std::size_t>(to - from));
      tensors_.read_at(t.offset() + from, bytes);
      if (crc32c(bytes) != t.crc32c(static_cast<int>(c)))
        fail(
            "{}: bytes {} to {} (of {}) are not those that were written; the disk or the copy is damaged, make the "
            "base again with shardlora quantize",
            tensors_.path().string(), t.offset() + from, t.offset() + to, name);
      const std::uint64_t left = std::max(begin, from), right = std::min(end, to);
      std::memcpy(out.data() + (left - begin), bytes.data() + (left - from), static_cast<std::size_t>(right - left));
    }
  }

  void check_readable() const override {}
  std::vector<std::string> parameters() const override {
    std::vector<std::string> names;
    for (const proto::PreparedTensor& t : manifest_.tensors()) names.push_back(t.name());
    return names;
  }

 private:
  const proto::PreparedTensor& tensor(const std::string& name) const {
    const auto found = by_name_.find(name);
    CHECK(found != by_name_.end(), "tensor {} is read before it was looked for", name);
    return *found->second;
  }

  fs::path path_;
  proto::PreparedBase manifest_;
  File tensors_;
  ModelConfig config_;
  std::unordered_map<std::string, const proto::PreparedTensor*> by_name_;
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
