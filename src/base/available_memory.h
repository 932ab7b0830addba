// How much memory the machine, or the container that this process is in, has to give.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace shardlora {

// Bytes that can be taken now without swapping: of the kernel's own estimate (MemAvailable) and what the process's
// control groups (version 2) leave, the least. Nothing where the system does not say. `root`: of the system's files.
std::optional<std::uint64_t> available_memory(const std::filesystem::path& root = "/");

}  // namespace shardlora
