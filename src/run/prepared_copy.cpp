#include "run/prepared_copy.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/user_cache.h"
#include "checkpoint/prepare_base.h"
#include "checkpoint/prepared_manifest.h"
#include "run/base_formats.h"
#include "run/prepared_progress.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kWorthKeeping = std::uint64_t{1} << 30;  // bytes: less is quantised in seconds
constexpr std::uint64_t kLeftFree = std::uint64_t{2} << 30;      // of the user's own disk

// Whether something in it has to be encoded.
bool is_encoded(const BaseModel& source, const FormatOf& formats) {
  const ModelSpec model(source.config(), formats, nullptr);
  for (const UnitSpec& unit : model.units())
    for (const ParamSpec& param : unit.params)
      if (!param.format.dense() && source.stored_format(source.name_of(param.name)) != param.format) return true;
  return false;
}

// A folder that follows from the source's content, the formats, and what this version makes of them.
fs::path folder_of(const fs::path& cache, const BaseModel& source, const Quantization& q) {
  std::string words = fmt::format("shardlora base {}\n{}\n{} {} {}\n", kManifestVersion, source.sha256(), q.format,
                                  q.group_size, q.double_quant);
  for (const auto& [pattern, word] : q.overrides) words += fmt::format("{} {}\n", pattern, word);
  return cache / fmt::format("{}-{}", q.format, sha256_of(words).substr(0, 32));
}

double gigabytes(std::uint64_t bytes) { return static_cast<double>(bytes) / 1e9; }

// What a killed run left in `folder` counts as made.
bool has_room(const fs::path& folder, std::uint64_t bytes) {
  std::error_code unknown, none;
  const fs::space_info space = fs::space(folder.parent_path(), unknown);
  const std::uintmax_t there = fs::exists(folder / kTensorsFile, none) ? bytes : 0;
  if (unknown || space.available + there >= bytes + kLeftFree) return true;
  spdlog::warn(
      "the quantised model would take {:.1f} GB, {} has {:.1f} GB free: it is not kept, and quantised again at every "
      "start. Make room, or name another folder with base_prepared_path",
      gigabytes(bytes), folder.parent_path().string(), gigabytes(space.available));
  return false;
}

// What the first rank decides for all.
struct Decision {
  fs::path folder;      // empty: nothing is kept
  std::string refusal;  // why it has to be, and cannot
};

Decision decide(const Recipe& recipe, const Quantization& settled, const BaseModel& source, const FormatOf& formats,
                std::uint64_t bytes, Needed needed) {
  const std::optional<std::string>& named = recipe.base_prepared_path;
  const fs::path cache = named ? fs::path(*named) : user_cache().empty() ? fs::path() : user_cache() / "bases";
  const bool worth_it = (named || bytes >= kWorthKeeping) && is_encoded(source, formats);
  if (needed == Needed::kNo && (cache.empty() || !worth_it)) return {};
  if (cache.empty())
    return {{}, "a base that rests on disk is kept as a prepared base: name a folder for it with base_prepared_path"};
  const fs::path folder = folder_of(cache, source, settled);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error && (named || needed == Needed::kYes))
    return {{},
            fmt::format("{}: cannot be made: {}; name another folder with base_prepared_path", folder.string(),
                        error.message())};
  std::error_code none;
  const bool there = fs::exists(folder / kManifestFile, none);
  if (error)
    spdlog::warn("{}: cannot be made: {}: the quantised model is not kept, and quantised again at every start",
                 folder.string(), error.message());
  if (error || (!there && !named && needed == Needed::kNo && !has_room(folder, bytes))) return {};
  return {folder, ""};
}

// Why it cannot be made, the same on every rank; empty where it is there. What was begun of one that is not needed
// goes: a full disk is wanted for what is trained.
std::string make_copy(Ranks& ranks, const BaseModel& source, const FormatOf& formats, const fs::path& folder,
                      Needed needed) {
  std::string trouble;
  try {
    prepare_base(source, formats, folder, ranks.rendezvous, PreparedProgress());
  } catch (const std::exception& error) {
    trouble = error.what();
  }
  // A rank that is gone is heard of here.
  const std::vector<std::string> all = ranks.rendezvous.exchange(trouble);
  const auto first = std::find_if(all.begin(), all.end(), [](const std::string& t) { return !t.empty(); });
  if (first == all.end()) return "";
  std::error_code none;
  if (needed == Needed::kNo && ranks.first() && !fs::exists(folder / kManifestFile, none)) fs::remove_all(folder, none);
  return *first;
}

}  // namespace

std::unique_ptr<const BaseModel> prepared_copy(Ranks& ranks, const Recipe& recipe, const Quantization& settled,
                                               const BaseModel& source, Needed needed) {
  if (source.is_prepared()) return nullptr;
  const FormatOf formats = format_of(settled, source, std::nullopt);
  const std::uint64_t bytes = size_of_prepared(source, formats);
  Decision decision;
  if (ranks.first()) decision = decide(recipe, settled, source, formats, bytes, needed);
  const std::string refusal = ranks.rendezvous.exchange(decision.refusal)[0];
  const fs::path folder = ranks.rendezvous.exchange(decision.folder.string())[0];
  if (!refusal.empty()) {
    if (ranks.first()) fail("{}", refusal);
    throw PeerFailed(refusal);
  }
  // A folder that another host's ranks do not see serves nobody.
  const std::vector<std::string> seen = ranks.rendezvous.exchange(fs::is_directory(folder) ? "" : "not seen");
  if (folder.empty()) return nullptr;
  if (std::count(seen.begin(), seen.end(), "") != ranks.size()) {
    if (needed == Needed::kNo) return nullptr;
    fail(
        "{}: not every rank's host sees it, and a base that rests on disk lies there: name a shared folder with "
        "base_prepared_path",
        folder.string());
  }

  std::optional<FileLock> lock;  // other runs wait for what this one makes
  if (ranks.first()) {
    lock.emplace(folder.string() + ".lock");
    if (fs::exists(folder / kManifestFile))
      spdlog::info("prepared by an earlier run: {}", folder.string());
    else
      spdlog::info(
          "preparing once: {} becomes {:.2f} GB in {}, for later runs too; base_prepared_path: none does not keep it",
          source.path().string(), gigabytes(bytes), folder.string());
  }
  const std::string trouble = make_copy(ranks, source, formats, folder, needed);
  if (!trouble.empty()) {
    if (needed == Needed::kYes && !ranks.first()) throw PeerFailed(trouble);
    if (needed == Needed::kYes)
      fail("{}; the base rests on disk, as a prepared base: make room, or name another folder with base_prepared_path",
           trouble);
    if (ranks.first()) spdlog::warn("{}: the quantised model is not kept, and quantised again at every start", trouble);
    return nullptr;
  }
  return std::make_unique<const BaseModel>(BaseModel::open(folder));
}

}  // namespace shardlora
