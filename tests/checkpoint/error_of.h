// The text of the Error that a call throws; "" if it throws none.
#pragma once

#include <string>

#include "base/error.h"

namespace shardlora {

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace shardlora
