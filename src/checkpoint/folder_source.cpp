// A base model in a Hugging Face folder: config.json and safetensors files, dense or in the NF4 of bitsandbytes.
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/parallel.h"
#include "base/user_cache.h"
#include "checkpoint/bitsandbytes.h"
#include "checkpoint/folder_config.h"
#include "checkpoint/tensor_source.h"
#include "checkpoint/tied_head.h"
#include "io/json.h"
#include "io/safetensors_folder.h"

namespace shardlora {
namespace {

constexpr const char* kConfig = "config.json";

class FolderSource final : public TensorSource {
 public:
  explicit FolderSource(const std::filesystem::path& folder)
      : path_(folder),
        files_(folder),
        packed_(bitsandbytes_weights(files_)),
        facts_(read_config_json(folder / kConfig)),
        config_(config_of(facts_, (folder / kConfig).string(), files_.find(kHeadName) != nullptr)) {
    config_.tied_embeddings = config_.tied_embeddings && head_is_tied(files_, packed_, (folder / kConfig).string());
    if (config_.layers > std::ssize(files_.tensors()))
      fail("{}: {} layers, but only {} tensors in the folder; it is incomplete, fetch it again",
           (folder / kConfig).string(), config_.layers, files_.tensors().size());
  }

  const ModelConfig& config() const override { return config_; }
  const std::filesystem::path& path() const override { return path_; }
  // Of the lines "<sha256>  <file name>" of config.json and the safetensors files, sorted by name.
  std::string sha256() const override {
    std::vector<std::string> of_files(files_.files().size());
    parallel_for(of_files.size(), available_processors(),
                 [&](std::size_t i) { of_files[i] = known_sha256_of_file(files_.files()[i].path()); });
    std::map<std::string, std::string> digests{{kConfig, sha256_of_file(path_ / kConfig)}};
    for (std::size_t i = 0; i < of_files.size(); ++i)
      digests[files_.files()[i].path().filename().string()] = of_files[i];
    std::string lines;
    for (const auto& [name, digest] : digests) lines += fmt::format("{}  {}\n", digest, name);
    return sha256_of(lines);
  }

  StoredName name_of(const std::string& parameter) const override {
    return {parameter == kEmbeddingName && stores_head_only() ? kHeadName : parameter};
  }
  const std::filesystem::path& file_of(const std::string& name) const override {
    const auto* place = files_.find(name);
    return place == nullptr ? path_ : place->file->path();
  }
  std::optional<Shape> shape_of(const std::string& name) const override {
    if (const auto* weight = packed(name)) return weight->shape();
    const auto* place = files_.find(name);
    return place == nullptr ? std::nullopt : std::optional(place->entry->shape);
  }
  std::optional<Format> format_of(const std::string& name) const override {
    if (const auto* weight = packed(name)) return weight->format();
    const std::optional<DType> dtype = place_of(name).entry->float_type();
    return dtype ? std::optional(dense_format(*dtype)) : std::nullopt;
  }
  void read_f32(const std::string& name, std::span<float> out, std::int64_t first) const override {
    if (const auto* weight = packed(name)) return weight->read_f32(out, first);
    const auto& [file, entry] = place_of(name);
    file->read_f32(*entry, out, first);
  }
  void read_section(const std::string& name, int section, std::span<std::byte> out, std::size_t first) const override {
    if (const auto* weight = packed(name)) return weight->read_section(section, out, first);
    CHECK(section == 0, "{} is one section, not {}", name, section + 1);
    const auto& [file, entry] = place_of(name);
    file->read_bytes(*entry, out, first);
  }

  void check_readable() const override {
    for (const std::string& name : parameters()) {
      const auto& [file, entry] = *files_.find(name);
      if (!format_of(name))
        fail("{}: tensor {} is {}; this version reads F32, F16, BF16 and bitsandbytes' NF4. Take the unquantised model",
             file->path().string(), name, entry->dtype);
    }
  }
  std::vector<std::string> parameters() const override {
    std::vector<std::string> names;
    for (const auto& [name, place] : files_.tensors()) {
      if (name.find("rotary_emb.") != std::string::npos) continue;  // tables that older versions stored
      if (name == kHeadName && config_.tied_embeddings && !stores_head_only()) continue;
      if (packed_weight_of(name)) continue;
      if (place.entry->shape.numel() == 0) continue;  // it holds nothing that could be left out
      names.push_back(name);
    }
    return names;
  }

 private:
  const SafetensorsFolder::Place& place_of(const std::string& name) const {
    const auto* place = files_.find(name);
    CHECK(place != nullptr, "tensor {} is read before it was looked for", name);
    return *place;
  }
  const BitsandbytesWeight* packed(const std::string& name) const {
    const auto found = packed_.find(name);
    return found == packed_.end() ? nullptr : &found->second;
  }
  // Of the one matrix that is both.
  bool stores_head_only() const {
    return config_.tied_embeddings && files_.find(kEmbeddingName) == nullptr && files_.find(kHeadName) != nullptr;
  }

  std::filesystem::path path_;
  SafetensorsFolder files_;
  std::map<std::string, BitsandbytesWeight> packed_;
  nlohmann::json facts_;
  ModelConfig config_;
};

}  // namespace

std::unique_ptr<const TensorSource> open_folder(const std::filesystem::path& folder) {
  return std::make_unique<FolderSource>(folder);
}

}  // namespace shardlora
