#include "data/rows/bad_rows.h"

#include <spdlog/spdlog.h>

namespace shardlora {

void BadRows::add(const std::string& source, std::int64_t line, const std::string& reason) {
  rows_.push_back({source, line, reason});
  if (count() <= kLimit) spdlog::warn("{}:{}: row left out: {}", source, line, reason);
  if (count() >= kLimit && count() * kRowsForOne > read_)
    fail("{}:{}: {} bad rows; correct or remove them (the last: {})", source, line, count(), reason);
  if (count() == kLimit) spdlog::warn("further rows that are left out are counted only");
}

}  // namespace shardlora
