// A Hugging Face folder of a tiny model with random weights, which tests may spoil before or after it is written.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/base_model.h"
#include "checkpoint/packed_weight.h"
#include "checkpoint/tiny_llama.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "io/write_safetensors.h"

namespace shardlora {

struct TinyFolder {
  struct Tensor {
    Shape shape;
    std::vector<float> values;
  };
  nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                           {"model_type", "llama"},
                           {"vocab_size", kVocab},
                           {"hidden_size", kHidden},
                           {"intermediate_size", 96},
                           {"num_hidden_layers", 1},
                           {"num_attention_heads", kHeads},
                           {"num_key_value_heads", kKeyHeads},
                           {"max_position_embeddings", 128},
                           {"rms_norm_eps", 1e-6},
                           {"rope_theta", 5000.0},
                           {"tie_word_embeddings", true}};
  std::map<std::string, Tensor> tensors;
  std::map<std::string, HeldTensor> packed;   // more tensors, as their files have them
  std::map<std::string, std::string> shards;  // tensor -> file; empty: all in model.safetensors
  TemporaryDirectory directory;

  TinyFolder() {
    add("model.embed_tokens.weight", {kVocab, kHidden});
    const std::string layer = "model.layers.0.";
    add(layer + "input_layernorm.weight", {kHidden});
    add(layer + "post_attention_layernorm.weight", {kHidden});
    add(layer + "self_attn.q_proj.weight", {kHeads * kHeadDim, kHidden});
    add(layer + "self_attn.k_proj.weight", {kKeyHeads * kHeadDim, kHidden});
    add(layer + "self_attn.v_proj.weight", {kKeyHeads * kHeadDim, kHidden});
    add(layer + "self_attn.o_proj.weight", {kHidden, kHeads * kHeadDim});
    add(layer + "mlp.gate_proj.weight", {96, kHidden});
    add(layer + "mlp.up_proj.weight", {96, kHidden});
    add(layer + "mlp.down_proj.weight", {kHidden, 96});
    add("model.norm.weight", {kHidden});
  }
  void add(const std::string& name, Shape shape) {
    tensors[name] = {shape, normal_values(shape.numel(), static_cast<unsigned>(tensors.size() + 1))};
  }

  // The tensor's values in NF4, as bitsandbytes saves them.
  void pack(const std::string& name, const Format& format) {
    for (auto& [part, held] : packed_weight(format, tensors.at(name).shape, tensors.at(name).values))
      packed[name + part] = std::move(held);
    tensors.erase(name);
    config["quantization_config"] = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  }

  void write() const {
    directory.write("config.json", config.dump());
    std::map<std::string, std::vector<NamedTensor>> files;
    nlohmann::json index = {{"metadata", nlohmann::json::object()}, {"weight_map", nlohmann::json::object()}};
    const auto put = [&](const std::string& name, const ConstTensor& tensor) {
      const std::string file = shards.empty() ? "model.safetensors" : shards.at(name);
      index["weight_map"][name] = file;
      files[file].push_back({name, tensor});
    };
    for (const auto& [name, tensor] : tensors)
      put(name, {reinterpret_cast<const std::byte*>(tensor.values.data()), DType::kF32, tensor.shape});
    for (const auto& [name, tensor] : packed) put(name, tensor.view());
    for (const auto& [file, held] : files) write_safetensors(directory.path() / file, held);
    if (!shards.empty()) directory.write("model.safetensors.index.json", index.dump());
  }
  // Odd and even tensors.
  void cut() {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : tensors) names.push_back(name);
    for (const auto& [name, tensor] : packed) names.push_back(name);
    for (const std::string& name : names)
      shards[name] = shards.size() % 2 == 0 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
  }
};

}  // namespace shardlora
