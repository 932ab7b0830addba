#include "checkpoint/prepared_plan.h"

#include <map>
#include <string>

#include "base/file.h"
#include "io/gguf.h"
#include "param/layout.h"

namespace shardlora {

namespace fs = std::filesystem;

PreparedPlan plan_prepared(const ModelConfig& config, const ModelSpec& model, const FormatOf& stored) {
  PreparedPlan plan;
  plan.manifest.set_version(kManifestVersion);
  plan.manifest.set_chunk_bytes(kPreparedChunk);
  *plan.manifest.mutable_model() = to_proto(config);
  std::uint64_t end = 0;
  for (const UnitSpec& unit : model.units()) {
    for (ParamSpec param : unit.params) {
      const Format source = stored(param.name);
      if (param.shape.rank() == 1) param.format = source;
      plan.units.push_back({param.name, {param}});
      proto::PreparedTensor& t = *plan.manifest.add_tensors();
      t.set_name(param.name);
      for (int d = 0; d < param.shape.rank(); ++d) t.add_shape(param.shape[d]);
      *t.mutable_packing() = to_proto(param.format);
      t.set_source_packing(name_of(source));
      t.set_offset(end);
      t.set_bytes(layout_of(param.format, param.shape).bytes);
      end += t.bytes();
    }
  }
  plan.manifest.set_bytes(end);
  return plan;
}

void check_room(const fs::path& folder, std::uint64_t bytes) {
  std::error_code unknown;
  const fs::space_info space = fs::space(folder, unknown);
  if (!unknown && space.available < bytes)
    fail("{}: has {:.1f} GB free, the base needs {:.1f} GB; make room, or choose another folder", folder.string(),
         static_cast<double>(space.available) / 1e9, static_cast<double>(bytes) / 1e9);
}

void take_files(const fs::path& model, const fs::path& folder, proto::PreparedBase& manifest) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 27;
  std::map<std::string, std::string> digests;
  if (fs::is_directory(model)) {
    for (const fs::directory_entry& entry : fs::directory_iterator(model)) {
      const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
      const bool kept = kind == ".json" || kind == ".jinja" || kind == ".txt" || kind == ".model";
      if (!kept || !entry.is_regular_file() || name.ends_with(".index.json") || name.starts_with('.') ||
          entry.file_size() > kMaxBytes)
        continue;
      const std::string text = read_text(entry.path(), kMaxBytes);
      write_file_atomically(folder / name, text);
      digests[name] = sha256_of(text);
    }
  } else {
    write_gguf_metadata(folder / kGgufMetadata, GgufFile(model));
    digests[kGgufMetadata] = sha256_of_file(folder / kGgufMetadata);
  }
  for (const auto& [name, digest] : digests) {
    proto::PreparedFile& file = *manifest.add_files();
    file.set_name(name);
    file.set_sha256(digest);
  }
}

}  // namespace shardlora
