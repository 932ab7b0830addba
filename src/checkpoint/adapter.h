// A LoRA adapter in PEFT's form: a directory with adapter_config.json and adapter_model.safetensors. What we write
// loads in PEFT, vLLM and llama.cpp's converter; what we read is plain LoRA, and anything that would change its meaning
// is an Error.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "lora/lora.h"
#include "param/spec.h"

namespace shardlora {

struct AdapterTensor {
  Shape shape;
  std::vector<float> values;
  bool operator==(const AdapterTensor&) const = default;
};

// What adapter_config.json says.
struct AdapterHead {
  // In a file target_modules may be "all-linear"; here they are a list then, read off the tensors.
  LoraConfig config;
  std::string base_model_name;  // may be empty
  bool tied = false;  // the saved modules are one matrix: its tensor is the embedding's; a file has it under both names
};

struct Adapter : AdapterHead {
  // By our parameters' names, e.g. "model.layers.0.self_attn.q_proj.lora_A.weight".
  std::map<std::string, AdapterTensor> tensors;
};

// F32, F16 and BF16 files. Every A has its B and both are of the rank that the configuration says.
Adapter read_adapter(const std::filesystem::path& directory);

// For a model with tied embeddings: one tensor for both saved modules. An Error where they were trained apart.
void tie_saved_modules(Adapter& adapter);

// The adapter has exactly the trainable parameters of `units`, each in its shape; the Error lists what is missing, too
// much or of another shape.
void check_adapter(const Adapter& adapter, std::span<const UnitSpec> units);

// The f32 values of a parameter, by our name, from a row on: as many rows as are at hand. Valid until the next call.
using AdapterValues = std::function<ConstTensor(const std::string& param, std::int64_t row)>;

// Writes both files, in F32, each atomically and the configuration last; makes the directory. Asks for the values of
// each parameter in the order of the file.
void write_adapter(const std::filesystem::path& directory, const AdapterHead& head,
                   const std::map<std::string, Shape>& params, const AdapterValues& values);
// The parameters in the order in which that asks for them.
std::vector<std::string> params_in_file_order(const std::map<std::string, Shape>& params, bool tied);

}  // namespace shardlora
