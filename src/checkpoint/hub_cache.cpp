#include "checkpoint/hub_cache.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/file.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxReference = 4096;  // bytes of refs/main; a commit has 40

std::optional<fs::path> variable(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr || *value == '\0') return {};
  return fs::path(value);
}

// "org/name", in the hub's letters; nothing that could be meant as a path.
bool is_hub_name(const std::string& name) {
  const auto slash = name.find('/');
  if (slash == 0 || slash == std::string::npos || slash + 1 == name.size() || name.find('/', slash + 1) != name.npos)
    return false;
  if (name.front() == '.' || name.front() == '~' || name.ends_with(".gguf") || name.ends_with(".safetensors"))
    return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '/' || c == '-' || c == '_' || c == '.';
  });
}

fs::path snapshot_of(const fs::path& model, const std::string& name) {
  std::error_code ignored;
  const fs::path reference = model / "refs/main";
  if (fs::exists(reference, ignored)) {
    std::string commit = read_text(reference.string(), kMaxReference);
    commit.erase(commit.find_last_not_of(" \r\n") + 1);
    const fs::path snapshot = model / "snapshots" / commit;
    if (!commit.empty() && commit.front() != '.' && commit.find('/') == std::string::npos &&
        fs::is_directory(snapshot, ignored))
      return snapshot;
    fail("{}: names the commit {}, of which there is no snapshot; fetch the model again: hf download {}",
         reference.string(), commit, name);
  }
  fail(
      "{}: has no refs/main, so its download was not finished, or asked for another revision; fetch it: hf download {}",
      model.string(), name);
}

// Links whose target a broken download, or a cleaned cache, has left out.
void check_whole(const fs::path& snapshot, const std::string& name) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(snapshot, ignored))
    if (!fs::exists(entry.path(), ignored))
      fail("{}: the file that it points to is not in the cache any more; fetch the model again: hf download {}",
           entry.path().string(), name);
}

}  // namespace

fs::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const auto path = variable(name)) return *path;
  if (const auto home = variable("HF_HOME")) return *home / "hub";
  if (const auto cache = variable("XDG_CACHE_HOME")) return *cache / "huggingface/hub";
  if (const auto home = variable("HOME")) return *home / ".cache/huggingface/hub";
  return {};
}

fs::path find_model(const std::string& name) {
  std::error_code ignored;
  if (fs::exists(name, ignored)) return name;
  if (!is_hub_name(name))
    fail(
        "{}: No such file or folder. A model is a Hugging Face folder, a GGUF file, or the name of one that hf "
        "download "
        "NAME has put into the local cache",
        name);
  std::string folder = "models--" + name;
  folder.replace(folder.find('/'), 1, "--");
  const fs::path cache = hub_cache(), model = cache / folder;
  if (cache.empty() || !fs::is_directory(model, ignored))
    fail("{}: no such file or folder here, and not in the cache of the hub ({}); get it with: hf download {}", name,
         cache.empty() ? "HOME is not set" : cache.string(), name);
  const fs::path snapshot = snapshot_of(model, name);
  check_whole(snapshot, name);
  return snapshot;
}

}  // namespace shardlora
