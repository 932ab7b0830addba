// A base model in a GGUF file.
#include "base/user_cache.h"
#include "checkpoint/gguf_config.h"
#include "checkpoint/tensor_source.h"

namespace shardlora {
namespace {

class GgufSource final : public TensorSource {
 public:
  explicit GgufSource(const std::filesystem::path& path) : file_(path), config_(config_of(file_)) {}

  const ModelConfig& config() const override { return config_; }
  const std::filesystem::path& path() const override { return file_.path(); }
  std::string sha256() const override { return known_sha256_of_file(file_.path()); }

  StoredName name_of(const std::string& parameter) const override { return gguf_name(config_, parameter); }
  const std::filesystem::path& file_of(const std::string&) const override { return file_.path(); }
  std::optional<Shape> shape_of(const std::string& name) const override {
    const GgufTensor* tensor = file_.find(name);
    return tensor == nullptr ? std::nullopt : std::optional(tensor->shape);
  }
  std::optional<Format> format_of(const std::string& name) const override {
    return shardlora::format_of(file_.tensor(name).type);
  }
  void read_f32(const std::string& name, std::span<float> out, std::int64_t first) const override {
    file_.read_f32(file_.tensor(name), out, first);
  }
  void read_section(const std::string& name, int section, std::span<std::byte> out, std::size_t first) const override {
    CHECK(section == 0, "blocks of ggml are one section, not {}", section + 1);
    file_.read_bytes(file_.tensor(name), out, first);
  }

  void check_readable() const override { file_.check_supported(); }
  std::vector<std::string> parameters() const override {
    std::vector<std::string> names;
    for (const GgufTensor& tensor : file_.tensors())
      if (tensor.name != kRopeDivisors) names.push_back(tensor.name);
    return names;
  }

 private:
  GgufFile file_;
  ModelConfig config_;
};

}  // namespace

std::unique_ptr<const TensorSource> open_gguf(const std::filesystem::path& file) {
  return std::make_unique<GgufSource>(file);
}

}  // namespace shardlora
