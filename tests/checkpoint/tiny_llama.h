// A Llama of one layer with random weights, as a GGUF file that tests may spoil.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "checkpoint/base_model.h"
#include "checkpoint/tiny_gguf.h"
#include "io/temporary_directory.h"

namespace shardlora {

inline constexpr std::int64_t kHidden = 64, kHeads = 4, kKeyHeads = 2, kHeadDim = 16, kVocab = 10;

inline std::vector<float> normal_values(std::int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

inline TinyGguf tiny_llama() {
  TinyGguf gguf;
  gguf.set("general.architecture", "llama");
  gguf.set("llama.block_count", 1U);
  gguf.set("llama.context_length", 128U);
  gguf.set("llama.embedding_length", static_cast<std::uint32_t>(kHidden));
  gguf.set("llama.feed_forward_length", 96U);
  gguf.set("llama.attention.head_count", static_cast<std::uint32_t>(kHeads));
  gguf.set("llama.attention.head_count_kv", static_cast<std::uint32_t>(kKeyHeads));
  gguf.set("llama.attention.layer_norm_rms_epsilon", 1e-6F);
  gguf.set("llama.rope.freq_base", 5000.0F);
  unsigned seed = 0;
  const auto add = [&](const std::string& name, Shape shape) {
    gguf.tensors.push_back({name, shape, normal_values(shape.numel(), ++seed)});
  };
  add("token_embd.weight", {kVocab, kHidden});
  add("blk.0.attn_norm.weight", {kHidden});
  add("blk.0.attn_q.weight", {kHeads * kHeadDim, kHidden});
  add("blk.0.attn_k.weight", {kKeyHeads * kHeadDim, kHidden});
  add("blk.0.attn_v.weight", {kKeyHeads * kHeadDim, kHidden});
  add("blk.0.attn_output.weight", {kHidden, kHeads * kHeadDim});
  add("blk.0.ffn_norm.weight", {kHidden});
  add("blk.0.ffn_gate.weight", {96, kHidden});
  add("blk.0.ffn_up.weight", {96, kHidden});
  add("blk.0.ffn_down.weight", {kHidden, 96});
  add("output_norm.weight", {kHidden});
  return gguf;
}

struct Opened {
  explicit Opened(const TinyGguf& gguf) : base(BaseModel::open(directory.write("tiny.gguf", gguf.bytes()))) {}
  TemporaryDirectory directory;
  BaseModel base;
};

}  // namespace shardlora
