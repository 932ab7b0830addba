#include "base/error.h"

namespace shardlora {

void check_failed(const char* file, int line, const char* condition, const std::string& sentence) {
  throw std::logic_error(fmt::format("{}:{}: internal error: {} ({})", file, line, sentence, condition));
}

}  // namespace shardlora
