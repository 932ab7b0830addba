#include "checkpoint/gguf_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "models/model_spec.h"

namespace shardlora {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 24;  // of any width: larger ones are garbage

// Keys of one architecture: "block_count" is "llama.block_count".
struct Keys {
  const GgufFile& file;
  std::string architecture;

  std::string full(std::string_view key) const { return fmt::format("{}.{}", architecture, key); }
  bool has(std::string_view key) const { return file.has(full(key)); }
  std::int64_t width(std::string_view key) const { return checked(key, file.integer(full(key))); }
  std::int64_t width(std::string_view key, std::int64_t fallback) const {
    return checked(key, file.integer(full(key), fallback));
  }
  std::int64_t count(std::string_view key) const {  // 0 where the file has none
    const std::int64_t value = file.integer(full(key), 0);
    return value == 0 ? 0 : checked(key, value);
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
  if (file.integer(keys.full("expert_count"), 0) != 0) keys.refuse("expert_count", "a mixture of experts");
  for (const char* key : {"rope.scaling.yarn_ext_factor", "rope.scaling.yarn_log_multiplier"})
    if (keys.has(key)) keys.refuse(key, "this variant of yarn");
}

void read_yarn(const Keys& keys, const ModelConfig& config, Rope& rope) {
  const GgufFile& file = keys.file;
  rope.original_positions = keys.positive(
      "rope.scaling.original_context_length",
      file.real(keys.full("rope.scaling.original_context_length"), static_cast<double>(config.max_positions)));
  for (const auto& [key, value] : {std::pair{"rope.scaling.yarn_beta_fast", &rope.beta_fast},
                                   std::pair{"rope.scaling.yarn_beta_slow", &rope.beta_slow}})
    *value = keys.positive(key, file.real(keys.full(key), *value));
  // llama.cpp multiplies this one with yarn's own.
  if (const char* key = "rope.scaling.attn_factor"; keys.has(key))
    rope.attention_factor = keys.positive(key, file.real(keys.full(key))) * rope_attention_factor(rope);
}

// `config` has its head size and length already.
Rope rope_of(const Keys& keys, const ModelConfig& config) {
  const GgufFile& file = keys.file;
  Rope rope;
  rope.theta = keys.positive("rope.freq_base", file.real(keys.full("rope.freq_base"), rope.theta));
  double factor = 1;
  for (const char* key : {"rope.scaling.factor", "rope.scale_linear"})  // the second is an older name
    if (const double given = file.real(keys.full(key), 0); given != 0 && factor == 1)
      factor = keys.positive(key, given);
  const std::string scaling = file.text(keys.full("rope.scaling.type"), "linear");
  if (scaling != "none" && scaling != "linear" && scaling != "yarn")
    keys.refuse("rope.scaling.type", fmt::format("rotary scaling \"{}\"", scaling));
  if (scaling != "none" && factor != 1) {
    rope.factor = factor;
    rope.scaling = scaling == "yarn" ? RopeScaling::kYarn : RopeScaling::kLinear;
    if (scaling == "yarn") read_yarn(keys, config, rope);
  }

  const GgufTensor* divisors = file.find(kRopeDivisors);
  if (divisors == nullptr) return rope;
  if (rope.scaling != RopeScaling::kNone)
    fail("{}: has both a rotary scaling and a tensor {}; the file is garbled", file.path().string(), kRopeDivisors);
  if (divisors->shape != Shape{config.head_dim / 2})
    fail("{}: tensor {} is {}; heads of {} need {}", file.path().string(), kRopeDivisors, divisors->shape.text(),
         config.head_dim, Shape{config.head_dim / 2}.text());
  rope.scaling = RopeScaling::kDivisors;
  rope.divisors.resize(static_cast<std::size_t>(config.head_dim / 2));
  file.read_f32(*divisors, rope.divisors);
  for (const float d : rope.divisors)
    if (!(d > 0) || !std::isfinite(d))
      fail("{}: tensor {} holds {}; divisors of frequencies have to be positive", file.path().string(), kRopeDivisors,
           d);
  return rope;
}

const Architecture& architecture_of(const GgufFile& file) {
  const std::string& name = file.text("general.architecture");
  std::vector<std::string> names;
  for (const Architecture& a : architectures()) {
    if (a.gguf == nullptr) continue;
    if (name == a.gguf) return a;
    names.emplace_back(a.gguf);
  }
  fail("{}: unknown architecture \"{}\"; this version knows: {}", file.path().string(), name, fmt::join(names, ", "));
}

}  // namespace

ModelConfig config_of(const GgufFile& file) {
  const Architecture& architecture = architecture_of(file);
  const Keys keys{file, architecture.gguf};
  refuse_what_we_cannot_compute(keys);

  ModelConfig config;
  config.architecture = architecture.name;
  config.layers = keys.width("block_count");
  config.hidden = keys.width("embedding_length");
  config.intermediate = keys.width("feed_forward_length");
  config.heads = keys.width("attention.head_count");
  config.kv_heads = keys.width("attention.head_count_kv", config.heads);
  config.head_dim = keys.width("attention.key_length", std::max<std::int64_t>(1, config.hidden / config.heads));
  config.max_positions = keys.width("context_length");
  config.sliding_window = keys.count("attention.sliding_window");
  config.norm_eps =
      keys.positive("attention.layer_norm_rms_epsilon", file.real(keys.full("attention.layer_norm_rms_epsilon")));
  config.tied_embeddings = file.find("output.weight") == nullptr;
  config.qkv_bias = file.find("blk.0.attn_q.bias") != nullptr;
  config.o_bias = file.find("blk.0.attn_output.bias") != nullptr;
  config.mlp_bias = file.find("blk.0.ffn_down.bias") != nullptr;

  if (config.layers > std::ssize(file.tensors()))
    fail("{}: {} layers (metadata key {}) but only {} tensors; the file is incomplete", file.path().string(),
         config.layers, keys.full("block_count"), file.tensors().size());
  if (!keys.has("attention.key_length") && config.hidden % config.heads != 0)
    fail("{}: a width of {} cannot be cut into {} heads; the file is garbled", file.path().string(), config.hidden,
         config.heads);
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    if (keys.width(key, config.head_dim) != config.head_dim)
      keys.refuse(key, fmt::format("a length of {} beside heads of {}", keys.width(key), config.head_dim));
  }

  const GgufTensor& embedding = file.tensor("token_embd.weight");
  if (embedding.shape.rank() != 2 || embedding.shape[1] != config.hidden)
    fail("{}: tensor token_embd.weight is {}; with {} = {} it has to be (vocabulary, {})", file.path().string(),
         embedding.shape.text(), keys.full("embedding_length"), config.hidden, config.hidden);
  config.vocab = embedding.shape[0];
  check(config, file.path().string());
  config.rope = rope_of(keys, config);
  return config;
}

}  // namespace shardlora
