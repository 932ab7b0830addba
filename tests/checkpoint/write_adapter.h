// The files of an adapter that is at hand as a whole.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "checkpoint/adapter.h"

namespace shardlora {

inline void write_adapter(const std::filesystem::path& directory, const Adapter& adapter) {
  std::map<std::string, Shape> params;
  for (const auto& [name, tensor] : adapter.tensors) params.emplace(name, tensor.shape);
  write_adapter(directory, adapter, params, [&](const std::string& param, std::int64_t) -> ConstTensor {
    const AdapterTensor& tensor = adapter.tensors.at(param);
    return {reinterpret_cast<const std::byte*>(tensor.values.data()), DType::kF32, tensor.shape};
  });
}

}  // namespace shardlora
