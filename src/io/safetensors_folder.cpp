#include "io/safetensors_folder.h"

#include <set>

#include "base/error.h"
#include "io/json.h"

namespace shardlora {
namespace {

constexpr const char *kSingle = "model.safetensors", *kIndex = "model.safetensors.index.json";
constexpr std::uint64_t kMaxIndexBytes = std::uint64_t{32} << 20;
constexpr std::size_t kMaxShards = 1000;

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// What there is instead of safetensors decides what to do about it.
[[noreturn]] void refuse(const std::filesystem::path& folder) {
  std::error_code ignored;
  bool pickled = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    pickled |= name.starts_with("pytorch_model") && (name.ends_with(".bin") || name.ends_with(".bin.index.json"));
    if (name.ends_with(".gguf"))
      fail("{}: has no {}, but a GGUF file; give its path: {}", folder.string(), kSingle, entry.path().string());
    if (name == "adapter_config.json")
      fail("{}: is an adapter, not a model; give the model it was made for, and this one as lora_model_dir",
           folder.string());
  }
  if (pickled)
    fail(
        "{}: has pytorch_model.bin (pickled Python, which is not opened) and no safetensors; convert it once in Python "
        "with transformers: AutoModelForCausalLM.from_pretrained(\"{}\").save_pretrained(\"NEW_FOLDER\")",
        folder.string(), folder.string());
  fail(
      "{}: is no model folder, it has neither {} nor {}; give a Hugging Face folder (config.json and safetensors, all "
      "of "
      "it) or a .gguf file",
      folder.string(), kSingle, kIndex);
}

// A plain name of a file beside the index: nothing in it may lead elsewhere.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 255 &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

// Tensor -> file name.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  const nlohmann::json index = parse_json(read_text(path, kMaxIndexBytes), path.string());
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    fail("{}: has no weight_map; the file is damaged, fetch it again", path.string());
  std::map<std::string, std::string> map;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string()) fail("{}: weight_map: {} is not the name of a file", path.string(), tensor);
    const auto name = file.get<std::string>();
    if (!is_plain_name(name) || !name.ends_with(".safetensors"))
      fail(
          "{}: weight_map: {} lies in \"{}\", which is no .safetensors file in this folder; the index is not to be "
          "trusted",
          path.string(), tensor, name);
    map[tensor] = name;
  }
  if (map.empty()) fail("{}: weight_map is empty; the file is damaged, fetch it again", path.string());
  return map;
}

}  // namespace

SafetensorsFolder::SafetensorsFolder(const std::filesystem::path& folder) {
  if (!is_there(folder / kSingle)) {
    if (!is_there(folder / kIndex)) refuse(folder);
    open_shards(folder);
    return;
  }
  files_.emplace_back(folder / kSingle);
  for (const SafetensorsEntry& entry : files_[0].tensors()) tensors_[entry.name] = {files_.data(), &entry};
}

void SafetensorsFolder::open_shards(const std::filesystem::path& folder) {
  const std::filesystem::path index = folder / kIndex;
  const std::map<std::string, std::string> places = read_index(index);
  std::set<std::string> names;
  for (const auto& [tensor, name] : places) names.insert(name);
  if (names.size() > kMaxShards)
    fail("{}: names {} files, at most {} are opened", index.string(), names.size(), kMaxShards);
  for (const std::string& name : names) {
    if (!is_there(folder / name))
      fail("{}: {} is missing, which {} names; fetch it into the folder", folder.string(), name, kIndex);
  }
  std::map<std::string, std::size_t> opened;
  files_.reserve(names.size());
  for (const std::string& name : names) {
    opened[name] = files_.size();
    files_.emplace_back(folder / name);
  }
  for (const auto& [tensor, name] : places) {
    const SafetensorsFile& file = files_[opened[name]];
    const SafetensorsEntry* entry = file.find(tensor);
    if (entry == nullptr)
      fail("{}: has no tensor {}, which {} promises there; the files are not of one model, fetch them again",
           file.path().string(), tensor, kIndex);
    tensors_[tensor] = {&file, entry};
  }
  // What the index forgets is there all the same: a bias that nobody sees would be another model.
  for (const SafetensorsFile& file : files_)
    for (const SafetensorsEntry& entry : file.tensors()) tensors_.try_emplace(entry.name, Place{&file, &entry});
}

const SafetensorsFolder::Place* SafetensorsFolder::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace shardlora
