// A run's directory: what it was told, what it measured, what it said. The files of an earlier run in it are moved
// aside, never overwritten. Rank 0 only.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "recipe/recipe.h"

namespace shardlora {

// The chat template beside an adapter that was trained with another one than the model's own.
inline constexpr const char* kChatTemplateFile = "chat_template.jinja";

// Beside an adapter: the recipe that it was trained by, every key with its value.
inline constexpr const char* kResolvedFile = "config.resolved.yaml";

// Beside an adapter: what its last bits depend on beside the recipe.
inline constexpr const char* kNumericsFile = "numerics.json";

class RunDirectory {
 public:
  // Makes the directory, moves an earlier run's files to previous-<n>/, writes config.resolved.yaml, starts run.log.
  // An Error when it cannot be written to.
  explicit RunDirectory(const Recipe& recipe);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Appends one line to metrics.jsonl, all at once.
  void add_metrics(const nlohmann::ordered_json& object);

 private:
  std::filesystem::path path_;
  int metrics_ = -1;
};

}  // namespace shardlora
