// What scripts/goldens/model.py and training.py left in tests/data/model: tiny Llamas in F32 with an adapter each,
// batches, and what transformers + PEFT make of them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "batch/sample.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace shardlora {

inline std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(TEST_DATA) / "model" / name;
}

using GoldenTensors = std::map<std::string, std::vector<float>>;

inline GoldenTensors read_golden_tensors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  GoldenTensors tensors;
  for (const SafetensorsEntry& entry : file.tensors()) {
    std::vector<float>& values = tensors[entry.name];
    values.resize(static_cast<std::size_t>(entry.shape.numel()));
    file.read_f32(entry, values);
  }
  return tensors;
}

using GoldenStep = std::vector<std::vector<Sample>>;  // samples of every micro-batch

// `source`: what the samples are said to come from.
inline std::vector<GoldenStep> steps_of(const nlohmann::json& json, const std::string& source = "golden") {
  std::vector<GoldenStep> read;
  std::int64_t line = 0;
  for (const auto& step : json) {
    read.emplace_back();
    for (const auto& micro_batch : step) {
      read.back().emplace_back();
      for (const auto& sample : micro_batch)
        read.back().back().push_back({sample["tokens"].get<std::vector<std::int32_t>>(),
                                      sample["trained"].get<std::vector<std::uint8_t>>(), source, ++line});
    }
  }
  return read;
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  return parse_json(read_text(path, 1 << 20), path.string());
}

inline const std::vector<GoldenStep>& golden_steps() {
  static const std::vector<GoldenStep> steps =
      steps_of(read_json(golden_path("batches.json"))["steps"], "batches.json");
  return steps;
}

// Of transformers + PEFT, by variant: "tied", "untied", "wide".
struct Golden {
  explicit Golden(const std::string& variant)
      : step(read_golden_tensors(golden_path("model-" + variant + ".safetensors"))),
        training(read_golden_tensors(golden_path("training-" + variant + ".safetensors"))) {}
  explicit Golden(GoldenTensors one_step) : step(std::move(one_step)) {}
  GoldenTensors step;      // logits, token_losses, loss, grad.<parameter>
  GoldenTensors training;  // loss, grad_norm, learning_rate, final.<parameter>
};

}  // namespace shardlora
