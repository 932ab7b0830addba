#include "data/rows/row.h"

#include <spdlog/spdlog.h>

namespace shardlora {

void BadRows::add(const std::string& source, std::int64_t line, const std::string& reason) {
  ++count_;
  spdlog::warn("{}:{}: row left out: {}", source, line, reason);
  if (count_ >= kLimit) fail("{}:{}: {} bad rows; correct or remove them (the last: {})", source, line, count_, reason);
}

}  // namespace shardlora
