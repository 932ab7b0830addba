// The manifest of a prepared base (prepared_base.proto) between its file and what the code works with.
#pragma once

#include <filesystem>

#include "checkpoint/prepared_base.pb.h"
#include "models/config.h"
#include "quant/format.h"

namespace shardlora {

inline constexpr const char *kManifestFile = "base.pb", *kTensorsFile = "tensors.bin";
inline constexpr std::uint32_t kManifestVersion = 2;
inline constexpr std::string_view kPartPrefix = "base.part-";  // manifests of what is done so far, one a rank

// An Error where the file is no manifest, or one of a newer version.
proto::PreparedBase read_manifest(const std::filesystem::path& file);
void write_manifest(const std::filesystem::path& file, const proto::PreparedBase& manifest);  // atomically

// Everything that has to hold before a byte is read by it: places inside a tensors.bin of `bytes`, one behind the
// other, sections as the format has them, a checksum for every chunk. An Error names `file` and what does not hold.
void check_manifest(const proto::PreparedBase& manifest, const std::filesystem::path& file, std::uint64_t bytes);

Format format_of(const proto::Packing& packing);
Shape shape_of(const proto::PreparedTensor& tensor);
ModelConfig config_of(const proto::Model& model);
proto::Packing to_proto(const Format& format);
proto::Model to_proto(const ModelConfig& config);

}  // namespace shardlora
