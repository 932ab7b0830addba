#include "checkpoint/prepare_base.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <vector>

#include "base/crc32c.h"
#include "base/file.h"
#include "checkpoint/pack_unit.h"
#include "checkpoint/prepared_manifest.h"
#include "checkpoint/prepared_plan.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

PreparedPlan plan_of(const BaseModel& source, const FormatOf& format_of) {
  const ModelSpec model(source.config(), format_of, nullptr, kUncut);  // a base has whole tensors
  source.check(model);
  const auto stored = [&](const std::string& name) { return source.stored_format(source.name_of(name)).value(); };
  PreparedPlan plan = plan_prepared(source.config(), model, stored);
  plan.manifest.set_source(source.path().string());
  return plan;
}

// Of the same model, in the same formats at the same places.
bool same_base(const proto::PreparedBase& a, const proto::PreparedBase& b) {
  const auto comparable = [](proto::PreparedBase base) {
    base.clear_source();
    base.clear_sha256();
    base.clear_files();
    for (proto::PreparedTensor& t : *base.mutable_tensors()) t.clear_crc32c();
    return base.SerializeAsString();
  };
  return comparable(a) == comparable(b);
}

fs::path part_file(const fs::path& folder, int rank) { return folder / fmt::format("{}{}", kPartPrefix, rank); }

std::vector<fs::path> part_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, none))
    if (entry.path().filename().string().starts_with(kPartPrefix)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// Takes the checksums of what an earlier command, or another rank, has done into `manifest`, which holds the plan.
void take_parts(const fs::path& folder, proto::PreparedBase& manifest) {
  for (const fs::path& file : part_files(folder)) {
    const proto::PreparedBase part = read_manifest(file);
    if (!same_base(part, manifest))
      fail(
          "{}: holds a half-made base of another model or in other formats ({}); remove the folder, or choose another "
          "one",
          folder.string(), part.source());
    for (int i = 0; i < part.tensors_size(); ++i)
      if (part.tensors(i).crc32c_size() > 0) *manifest.mutable_tensors(i)->mutable_crc32c() = part.tensors(i).crc32c();
  }
}

std::vector<std::uint32_t> checksums(std::span<const std::byte> bytes) {
  std::vector<std::uint32_t> sums((bytes.size() + kPreparedChunk - 1) / kPreparedChunk);
#pragma omp parallel for schedule(static)
  for (std::size_t c = 0; c < sums.size(); ++c)
    sums[c] = crc32c(
        bytes.subspan(c * kPreparedChunk, std::min<std::size_t>(kPreparedChunk, bytes.size() - c * kPreparedChunk)));
  return sums;
}

// This rank's tensors, the largest first, so that ranks end at about the same time.
std::vector<int> dealt(const proto::PreparedBase& manifest, int rank, int ranks) {
  std::vector<int> left;
  for (int i = 0; i < manifest.tensors_size(); ++i)
    if (manifest.tensors(i).crc32c_size() == 0) left.push_back(i);
  std::stable_sort(left.begin(), left.end(),
                   [&](int a, int b) { return manifest.tensors(a).bytes() > manifest.tensors(b).bytes(); });
  std::vector<int> mine;
  for (std::size_t i = static_cast<std::size_t>(rank); i < left.size(); i += static_cast<std::size_t>(ranks))
    mine.push_back(left[i]);
  return mine;
}

void pack_all(const BaseModel& source, PreparedPlan& plan, const fs::path& folder, const std::vector<int>& mine,
              int rank, const std::function<void(std::uint64_t, std::uint64_t)>& told, std::uint64_t sync_bytes) {
  WritableFile tensors(folder / kTensorsFile, plan.manifest.bytes());
  std::uint64_t all = 0, done = 0, unsynced = 0;
  for (const int i : mine) all += plan.manifest.tensors(i).bytes();
  if (rank == 0 && told) told(0, all);
  std::vector<std::byte> flat;
  for (const int i : mine) {
    proto::PreparedTensor& t = *plan.manifest.mutable_tensors(i);
    flat.resize(static_cast<std::size_t>(t.bytes()));
    pack_unit(source, UnitLayout(plan.units[static_cast<std::size_t>(i)]), flat);
    tensors.write_at(t.offset(), flat);
    const std::vector<std::uint32_t> sums = checksums(flat);
    t.mutable_crc32c()->Assign(sums.begin(), sums.end());
    done += t.bytes();
    unsynced += t.bytes();
    if (unsynced >= sync_bytes || i == mine.back()) {
      tensors.sync();
      write_manifest(part_file(folder, rank), plan.manifest);
      unsynced = 0;
    }
    if (rank == 0 && told) told(done, all);
  }
}

// Reads everything back: what the manifest promises is what lies on the disk.
std::string sha256_of_tensors(const fs::path& folder, const proto::PreparedBase& manifest) {
  const File file(folder / kTensorsFile);
  Sha256 digest;
  std::vector<std::byte> bytes;
  for (const proto::PreparedTensor& t : manifest.tensors()) {
    for (int c = 0; c < t.crc32c_size(); ++c) {
      const std::uint64_t begin = static_cast<std::uint64_t>(c) * kPreparedChunk;
      bytes.resize(static_cast<std::size_t>(std::min(kPreparedChunk, t.bytes() - begin)));
      file.read_at(t.offset() + begin, bytes);
      if (crc32c(bytes) != t.crc32c(c))
        fail("{}: {} reads back other bytes than were written; the disk is not to be trusted. Remove the folder",
             file.path().string(), t.name());
      digest.add(bytes);
    }
  }
  return digest.hex();
}

// Nothing is written where a base stands already; another one is an Error.
bool is_there(const fs::path& folder, const proto::PreparedBase& wanted) {
  if (!fs::exists(folder / kManifestFile)) return false;
  const proto::PreparedBase there = read_manifest(folder / kManifestFile);
  if (same_base(there, wanted)) return true;
  fail(
      "{}: holds another base already (made of {}; another model, or other formats); remove it, or choose another "
      "folder",
      folder.string(), there.source());
}

// What is done already goes into `manifest`; of a new folder nothing.
void begin_folder(const fs::path& folder, proto::PreparedBase& manifest) {
  fs::create_directories(folder);
  take_parts(folder, manifest);
  std::uint64_t left = 0, all = 0;
  for (const proto::PreparedTensor& t : manifest.tensors()) {
    all += t.bytes();
    if (t.crc32c_size() == 0) left += t.bytes();
  }
  check_room(folder, left);
  if (left < all)
    spdlog::info("going on with the base in {}: {:.1f} of {:.1f} GB are done", folder.string(),
                 static_cast<double>(all - left) / 1e9, static_cast<double>(all) / 1e9);
  write_manifest(part_file(folder, 0), manifest);
  for (const fs::path& file : part_files(folder))
    if (file != part_file(folder, 0)) remove_file(file);
}

void finish_folder(const BaseModel& source, const fs::path& folder, proto::PreparedBase& manifest) {
  take_parts(folder, manifest);
  manifest.set_sha256(sha256_of_tensors(folder, manifest));
  take_files(source.path(), folder, manifest);
  write_manifest(folder / kManifestFile, manifest);
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (is_left_over(entry.path()) || entry.path().filename().string().starts_with(kPartPrefix))
      remove_file(entry.path());
}

void check_folder(const fs::path& folder) {
  std::error_code none;
  if (!fs::exists(folder, none) || !part_files(folder).empty() || fs::exists(folder / kManifestFile)) return;
  if (!fs::is_directory(folder, none)) fail("{}: is no folder; choose another one", folder.string());
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (!is_left_over(entry.path()))
      fail("{}: holds {}, which is of no base; choose an empty folder, or a new one", folder.string(),
           entry.path().filename().string());
}

// Where `phase` fails on one rank all of them fail, that one with its error, and none waits for another.
template <typename Phase>
void together(Rendezvous& rendezvous, const Phase& phase) {
  std::exception_ptr mine;
  std::string why;
  try {
    phase();
  } catch (const std::exception& error) {
    mine = std::current_exception();
    why = error.what();
  }
  const std::vector<std::string> all = rendezvous.exchange(why);
  if (mine) std::rethrow_exception(mine);
  for (const std::string& other : all)
    if (!other.empty()) throw PeerFailed(other);
}

}  // namespace

std::uint64_t size_of_prepared(const BaseModel& source, const FormatOf& format_of) {
  return plan_of(source, format_of).manifest.bytes();
}

Prepared prepare_base(const BaseModel& source, const FormatOf& format_of, const fs::path& folder,
                      Rendezvous& rendezvous, const std::function<void(std::uint64_t, std::uint64_t)>& told,
                      std::uint64_t sync_bytes) {
  const int rank = rendezvous.rank();
  PreparedPlan plan;
  std::string sha256;
  together(rendezvous, [&] {
    plan = plan_of(source, format_of);
    if (rank == 0) sha256 = source.sha256();
  });
  plan.manifest.set_source_sha256(rendezvous.exchange(sha256)[0]);
  bool there = false;
  together(rendezvous, [&] {  // all have looked before anything is made
    there = is_there(folder, plan.manifest);
    if (!there) check_folder(folder);
  });
  if (there) return Prepared::kWasThere;
  together(rendezvous, [&] {
    if (rank == 0) begin_folder(folder, plan.manifest);
  });
  std::vector<int> mine;
  together(rendezvous, [&] {  // the parts are read before they change
    take_parts(folder, plan.manifest);
    mine = dealt(plan.manifest, rank, rendezvous.size());
  });
  together(rendezvous, [&] { pack_all(source, plan, folder, mine, rank, told, sync_bytes); });
  together(rendezvous, [&] {
    if (rank == 0) finish_folder(source, folder, plan.manifest);
  });
  return Prepared::kMade;
}

}  // namespace shardlora
