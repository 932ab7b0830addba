#include "run/run_directory.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>

#include "base/file.h"
#include "base/log.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles[] = {
    kResolvedFile, "metrics.jsonl",  "run.log", "adapter_config.json", "adapter_model.safetensors",
    kNumericsFile, kChatTemplateFile};

void move_earlier_run(const fs::path& directory) {
  bool found = false;
  for (const char* name : kFiles)  // a template alone may be a model's
    found = found || (std::string_view(name) != kChatTemplateFile && fs::exists(directory / name));
  if (!found) return;
  int n = 1;
  while (fs::exists(directory / fmt::format("previous-{}", n))) ++n;
  const fs::path aside = directory / fmt::format("previous-{}", n);
  fs::create_directory(aside);
  for (const char* name : kFiles)
    if (fs::exists(directory / name)) fs::rename(directory / name, aside / name);
  spdlog::info("{} held an earlier run; its files are now in {}", directory.string(), aside.string());
}

}  // namespace

RunDirectory::RunDirectory(const Recipe& recipe) : path_(recipe.output_dir) {
  try {
    fs::create_directories(path_);
    move_earlier_run(path_);
  } catch (const fs::filesystem_error& e) {
    fail("output_dir {} cannot be used: {}; choose another one or change its permissions", path_.string(),
         e.code().message());
  }
  write_file_atomically(path_ / kResolvedFile, resolved_yaml(recipe));
  log_to_file((path_ / "run.log").string());
  const fs::path metrics = path_ / "metrics.jsonl";
  metrics_ = open(metrics.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (metrics_ < 0) fail("{} cannot be written: {}", metrics.string(), std::strerror(errno));
}

RunDirectory::~RunDirectory() { close(metrics_); }

void RunDirectory::add_metrics(const nlohmann::ordered_json& object) {
  const std::string line = object.dump() + "\n";
  errno = ENOSPC;  // what a short write means; a failed one says more
  if (write(metrics_, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    fail("{} cannot be written: {}; make room on the disk and start again", (path_ / "metrics.jsonl").string(),
         std::strerror(errno));
}

}  // namespace shardlora
