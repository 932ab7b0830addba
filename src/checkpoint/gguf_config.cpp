#include "checkpoint/gguf_config.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1}
                                  << 24;  // of any width: larger ones are garbage, and products stay in 64 bits

// Keys of one architecture: "block_count" is "llama.block_count".
struct Keys {
  const GgufFile& file;
  const std::string& architecture;

  std::string full(std::string_view key) const { return fmt::format("{}.{}", architecture, key); }
  bool has(std::string_view key) const { return file.has(full(key)); }
  std::int64_t width(std::string_view key) const { return checked(key, file.integer(full(key))); }
  std::int64_t width(std::string_view key, std::int64_t fallback) const {
    return checked(key, file.integer(full(key), fallback));
  }
  double positive(std::string_view key, double value) const {
    if (!(value > 0)) fail("{}: metadata key {} is {}; it has to be positive", file.path().string(), full(key), value);
    return value;
  }
  std::int64_t checked(std::string_view key, std::int64_t value) const {
    if (value < 1 || value > kLargest)
      fail("{}: metadata key {} is {}; it has to be between 1 and {}", file.path().string(), full(key), value,
           kLargest);
    return value;
  }
  [[noreturn]] void refuse(std::string_view key, std::string_view what) const {
    fail("{}: {} (metadata key {}) is not supported yet; choose a model without it", file.path().string(), what,
         full(key));
  }
};

void refuse_what_we_cannot_compute(const Keys& keys) {
  const GgufFile& file = keys.file;
  if (file.integer("split.count", 1) > 1)
    fail("{}: is one of {} parts of a model; join them with llama.cpp's llama-gguf-split --merge", file.path().string(),
         file.integer("split.count"));
  const std::string scaling = file.text(keys.full("rope.scaling.type"), "none");
  if (scaling != "none") keys.refuse("rope.scaling.type", fmt::format("rotary scaling \"{}\"", scaling));
  for (const char* key : {"rope.scale_linear", "rope.scaling.factor"}) {
    const double factor = keys.has("rope.scaling.type") ? 1 : file.real(keys.full(key), 1);
    if (factor != 0 && factor != 1) keys.refuse(key, "rotary scaling");
  }
  if (file.find("rope_freqs.weight") != nullptr)
    fail(
        "{}: rotary scaling (tensor rope_freqs.weight, as in Llama 3.1) is not supported yet; choose a model without "
        "it",
        file.path().string());
  for (const auto& [key, what] : {std::pair{"expert_count", "a mixture of experts"},
                                  std::pair{"attention.sliding_window", "sliding-window attention"}}) {
    if (file.integer(keys.full(key), 0) != 0) keys.refuse(key, what);
  }
}

}  // namespace

ModelConfig config_of(const GgufFile& file, std::span<const std::string> known) {
  const std::string& architecture = file.text("general.architecture");
  if (std::find(known.begin(), known.end(), architecture) == known.end())
    fail("{}: unknown architecture \"{}\"; this version knows: {}", file.path().string(), architecture,
         fmt::join(known, ", "));
  const Keys keys{file, architecture};
  refuse_what_we_cannot_compute(keys);

  ModelConfig config;
  config.architecture = architecture;
  config.layers = keys.width("block_count");
  config.hidden = keys.width("embedding_length");
  config.intermediate = keys.width("feed_forward_length");
  config.heads = keys.width("attention.head_count");
  config.kv_heads = keys.width("attention.head_count_kv", config.heads);
  config.head_dim = keys.width("attention.key_length", std::max<std::int64_t>(1, config.hidden / config.heads));
  config.max_positions = keys.width("context_length");
  config.rope_theta = keys.positive("rope.freq_base", file.real(keys.full("rope.freq_base"), 10000.0));
  config.norm_eps =
      keys.positive("attention.layer_norm_rms_epsilon", file.real(keys.full("attention.layer_norm_rms_epsilon")));
  config.tied_embeddings = file.find("output.weight") == nullptr;

  if (config.layers > std::ssize(file.tensors()))
    fail("{}: {} layers (metadata key {}) but only {} tensors; the file is incomplete", file.path().string(),
         config.layers, keys.full("block_count"), file.tensors().size());
  if (config.heads % config.kv_heads != 0)
    fail("{}: {} attention heads cannot share {} key heads; the file is garbled", file.path().string(), config.heads,
         config.kv_heads);
  if (!keys.has("attention.key_length") && config.hidden % config.heads != 0)
    fail("{}: a width of {} cannot be cut into {} heads; the file is garbled", file.path().string(), config.hidden,
         config.heads);
  if (config.head_dim % 2 != 0)
    fail("{}: heads of {} values have no rotary pairs; the file is garbled", file.path().string(), config.head_dim);
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    if (keys.width(key, config.head_dim) != config.head_dim)
      keys.refuse(key, fmt::format("a length of {} beside heads of {}", keys.width(key), config.head_dim));
  }

  const GgufTensor& embedding = file.tensor("token_embd.weight");
  if (embedding.shape.rank() != 2 || embedding.shape[1] != config.hidden)
    fail("{}: tensor token_embd.weight is {}; with {} = {} it has to be (vocabulary, {})", file.path().string(),
         embedding.shape.text(), keys.full("embedding_length"), config.hidden, config.hidden);
  config.vocab = embedding.shape[0];
  return config;
}

}  // namespace shardlora
