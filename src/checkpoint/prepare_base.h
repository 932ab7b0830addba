// Makes a prepared base out of a model: a folder with its tensors in the formats that they will rest in, a manifest
// with a checksum for every chunk, and the files of tokenizer and chat template. It knows no recipe and no number of
// ranks.
//
// Every rank packs its share of the tensors, one at a time; a tensor that was written is synced and noted down before
// it counts, so that after a kill the same command goes on where it was, on any number of ranks. The manifest is
// written last, when all was read back: without it the folder is no base.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "checkpoint/base_model.h"
#include "comm/rendezvous.h"

namespace shardlora {

// Bytes of its tensors. format_of: of matrices; vectors stay as the source has them.
std::uint64_t size_of_prepared(const BaseModel& source, const FormatOf& format_of);

enum class Prepared : std::uint8_t {
  kMade,
  kWasThere,  // of the same source in the same formats
};
// Collective. `told(done, all)` hears on rank 0 how many of its own bytes are packed. A folder that holds another base,
// or that one half made, is an Error, as is a disk without room for it; where one rank fails, all do. A kill loses at
// most the last sync_bytes of work and the tensor after them.
Prepared prepare_base(const BaseModel& source, const FormatOf& format_of, const std::filesystem::path& folder,
                      Rendezvous& rendezvous, const std::function<void(std::uint64_t, std::uint64_t)>& told = nullptr,
                      std::uint64_t sync_bytes = std::uint64_t{1} << 26);

}  // namespace shardlora
