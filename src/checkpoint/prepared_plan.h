// What a prepared base will be, known before any of it is made, and what is done to its folder beside the tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "checkpoint/prepared_manifest.h"
#include "models/model_spec.h"

namespace shardlora {

inline constexpr std::uint64_t kPreparedChunk = std::uint64_t{1} << 18;  // bytes that have a checksum of their own

// The units have one parameter each, in the order of the manifest's tensors. The manifest lacks its source, checksums
// and files.
struct PreparedPlan {
  proto::PreparedBase manifest;
  std::vector<UnitSpec> units;
};
// model: not cut. stored: what the source keeps a tensor as, by the parameter's name. Vectors stay so.
PreparedPlan plan_prepared(const ModelConfig& config, const ModelSpec& model, const FormatOf& stored);

// An Error where the disk of `folder` has less than `bytes` free.
void check_room(const std::filesystem::path& folder, std::uint64_t bytes);

// Copies what else belongs to a model, a folder or a GGUF file, into `folder`, and notes it down: tokenizer, chat
// template, configuration. Files of text, and the model file of SentencePiece; what is larger is no part of these.
void take_files(const std::filesystem::path& model, const std::filesystem::path& folder, proto::PreparedBase& manifest);

}  // namespace shardlora
