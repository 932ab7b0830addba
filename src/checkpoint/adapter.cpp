#include "checkpoint/adapter.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/adapter_config.h"
#include "io/safetensors.h"
#include "lora/lora_modules.h"

namespace shardlora {
namespace {

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kTensorFile = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.";  // what PEFT's wrapper puts before a module's name
constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";
constexpr std::uint64_t kLargestConfig = std::uint64_t{1} << 20;

std::string text_of_config(const std::filesystem::path& directory) {
  const auto path = directory / kConfigFile;
  if (!std::filesystem::exists(path))
    fail("{}: has no {}; give a directory that PEFT or this program saved an adapter in", directory.string(),
         kConfigFile);
  return read_text(path, kLargestConfig);
}

std::filesystem::path tensor_file(const std::filesystem::path& directory) {
  const auto path = directory / kTensorFile;
  if (std::filesystem::exists(path)) return path;
  if (std::filesystem::exists(directory / "adapter_model.bin"))
    fail(
        "{}: is a pickle, which can run code when it is read; load it with PEFT and save it with save_pretrained(..., "
        "safe_serialization=True)",
        (directory / "adapter_model.bin").string());
  fail("{}: has no {}; give a directory that PEFT or this program saved an adapter in", directory.string(),
       kTensorFile);
}

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

bool is_saved_module(const std::string& name) { return name == kEmbedding || name == kHead; }

// Our name of a tensor of the file; an Error if it is neither A or B of a linear nor a saved module.
std::string name_of_key(const std::string& key, const std::filesystem::path& path) {
  if (key.starts_with(kPrefix) && is_saved_module(key.substr(kPrefix.size()))) return key.substr(kPrefix.size());
  if (!key.starts_with(kPrefix) || !(key.ends_with(kA) || key.ends_with(kB)))
    fail("{}: tensor {} is no part of plain LoRA on linears ({}<module>{} and {}); only such adapters can be read",
         path.string(), key, kPrefix, kA, kB);
  return key.substr(kPrefix.size());
}

void check_rank(const std::string& name, const AdapterTensor& tensor, const LoraModules& modules,
                const std::filesystem::path& path) {
  if (is_saved_module(name)) return;
  const bool is_a = name.ends_with(kA);
  const std::int64_t rank = modules.rank(name.substr(0, name.size() - kA.size()));
  if (tensor.shape.rank() != 2 || tensor.shape[is_a ? 0 : 1] != rank)
    fail("{}: tensor {} is {}, but with a rank of {} (r, rank_pattern in {}) it has to be {}", path.string(), name,
         tensor.shape.text(), rank, kConfigFile, is_a ? fmt::format("({}, in)", rank) : fmt::format("(out, {})", rank));
}

void check_pairs(const Adapter& adapter, const std::filesystem::path& path) {
  if (adapter.tensors.empty()) fail("{}: holds no tensors", path.string());
  for (const auto& [name, tensor] : adapter.tensors) {
    if (is_saved_module(name)) continue;
    const bool is_a = name.ends_with(kA);
    const std::string partner = name.substr(0, name.size() - kA.size()) + std::string(is_a ? kB : kA);
    if (!adapter.tensors.contains(partner))
      fail("{}: has {} but not {}; the file is incomplete", path.string(), name, partner);
  }
}

// The last parts of the adapted modules' names: what "all-linear" came to.
std::vector<std::string> adapted_modules(const Adapter& adapter) {
  std::set<std::string> modules;
  for (const auto& [name, tensor] : adapter.tensors) {
    if (is_saved_module(name)) continue;
    const std::string module = name.substr(0, name.size() - kA.size());
    modules.insert(module.substr(module.rfind('.') + 1));
  }
  return {modules.begin(), modules.end()};
}

// "a, b, c and 12 more"
std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 4;
  const std::vector<std::string> shown(names.begin(),
                                       names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  return fmt::format("{}{}", fmt::join(shown, ", "),
                     names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "");
}

}  // namespace

Adapter read_adapter(const std::filesystem::path& directory) {
  Adapter adapter = parse_adapter_config(text_of_config(directory), (directory / kConfigFile).string());
  const LoraModules modules(adapter.config);
  const SafetensorsFile file(tensor_file(directory));
  for (const SafetensorsEntry& entry : file.tensors()) {
    const std::string name = name_of_key(entry.name, file.path());
    AdapterTensor tensor{entry.shape, {}};
    check_rank(name, tensor, modules, file.path());
    tensor.values.resize(static_cast<std::size_t>(entry.shape.numel()));
    file.read_f32(entry, tensor.values);
    if (!std::all_of(tensor.values.begin(), tensor.values.end(), [](float x) { return std::isfinite(x); }))
      fail("{}: tensor {} holds a value that is infinite or not a number; the training that made it diverged",
           file.path().string(), name);
    adapter.tensors.emplace(name, std::move(tensor));
  }
  check_pairs(adapter, file.path());
  // PEFT's list has names of its own where modules are tied; what is in the file is what was saved.
  adapter.config.modules_to_save.clear();
  if (adapter.tensors.contains(kEmbedding)) adapter.config.modules_to_save.push_back("embed_tokens");
  if (adapter.tensors.contains(kHead)) adapter.config.modules_to_save.push_back("lm_head");
  if (adapter.config.target_modules.empty() && adapter.config.target_pattern.empty())
    adapter.config.target_modules = adapted_modules(adapter);
  return adapter;
}

void tie_saved_modules(Adapter& adapter) {
  const auto embedding = adapter.tensors.find(kEmbedding), head = adapter.tensors.find(kHead);
  if (embedding == adapter.tensors.end() || head == adapter.tensors.end()) return;
  if (!(embedding->second == head->second))
    fail(
        "the adapter has an embedding and a head that were trained apart, but in this model they are one matrix "
        "(tie_word_embeddings); train it with PEFT's ensure_weight_tying=True, or take a base with a head of its own");
  adapter.tensors.erase(head);
  adapter.tied = true;
}

void check_adapter(const Adapter& adapter, std::span<const UnitSpec> units) {
  std::set<std::string> expected;
  std::vector<std::string> missing, unexpected, misshapen;
  for (const UnitSpec& unit : units) {
    for (const ParamSpec& param : unit.params) {
      if (!param.trainable) continue;
      if (!expected.insert(param.name).second) continue;  // another slice of it
      const auto found = adapter.tensors.find(param.name);
      if (found == adapter.tensors.end())
        missing.push_back(param.name);
      else if (found->second.shape != param.stored_shape())
        misshapen.push_back(fmt::format("{} is {} and has to be {}", param.name, found->second.shape.text(),
                                        param.stored_shape().text()));
    }
  }
  for (const auto& [name, tensor] : adapter.tensors)
    if (!expected.contains(name)) unexpected.push_back(name);

  std::string problems;
  if (!missing.empty()) problems += fmt::format("; missing: {}", list_of(missing));
  if (!unexpected.empty()) problems += fmt::format("; not of this model: {}", list_of(unexpected));
  if (!misshapen.empty()) problems += fmt::format("; of another shape: {}", list_of(misshapen));
  if (!problems.empty())
    fail(
        "the adapter does not fit the model{}. Take the base model that it was trained on{}, and the adapter's own "
        "lora_r, target modules and patterns",
        problems, adapter.base_model_name.empty() ? "" : fmt::format(" ({})", adapter.base_model_name));
}

namespace {

// By names in the file, which are in its order: all tensors are F32.
std::map<std::string, std::string> params_by_file_name(const std::map<std::string, Shape>& params, bool tied) {
  std::map<std::string, std::string> names;
  for (const auto& [param, shape] : params) names.emplace(std::string(kPrefix) + param, param);
  if (tied) names.emplace(std::string(kPrefix) + kHead, kEmbedding);
  return names;
}

}  // namespace

std::vector<std::string> params_in_file_order(const std::map<std::string, Shape>& params, bool tied) {
  std::vector<std::string> order;
  for (const auto& [name, param] : params_by_file_name(params, tied)) order.push_back(param);
  return order;
}

void write_adapter(const std::filesystem::path& directory, const AdapterHead& head,
                   const std::map<std::string, Shape>& params, const AdapterValues& values) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    fail("{}: cannot make this directory for the adapter: {}; choose another output_dir or make it writable",
         directory.string(), error.message());
  const std::map<std::string, std::string> names = params_by_file_name(params, head.tied);
  std::vector<SafetensorsWriter::Entry> entries;
  for (const auto& [name, param] : names) entries.push_back({name, DType::kF32, params.at(param)});
  SafetensorsWriter file(directory / kTensorFile, std::move(entries));
  for (const SafetensorsWriter::Entry& entry : file.tensors()) {
    for (std::int64_t row = 0; row < entry.shape[0];) {
      const ConstTensor rows = values(names.at(entry.name), row);
      file.write(rows);
      row += rows.shape[0];
    }
  }
  file.finish();
  write_file_atomically(directory / kConfigFile, adapter_config_json(head));
}

}  // namespace shardlora
