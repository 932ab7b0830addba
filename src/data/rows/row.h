// A row of a dataset: one JSON object with the place where it stands.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace shardlora {

struct Row {
  std::string source;
  std::int64_t line = 0;  // from 1, where the row begins
  nlohmann::ordered_json json;
};

}  // namespace shardlora
