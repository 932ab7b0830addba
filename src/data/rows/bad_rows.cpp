#include "data/rows/bad_rows.h"

#include <spdlog/spdlog.h>

namespace shardlora {

void BadRows::add(const std::string& source, std::int64_t line, const std::string& reason) {
  if (rows_.empty() || rows_.back().source != source) before_source_ = count();
  rows_.push_back({source, line, reason});
  if (count() <= kLimit) spdlog::warn("{}:{}: row left out: {}", source, line, reason);
  if (count() >= kLimit && (count() - before_source_) * kRowsForOne > line)
    fail("{}:{}: {} bad rows; correct or remove them (the last: {})", source, line, count(), reason);
  if (count() == kLimit) spdlog::warn("further rows that are left out are counted only");
}

}  // namespace shardlora
