// For destructors: waits until nothing touches memory that is about to go. What failed on the way is seen by whoever
// needs it.
#pragma once

#include "comm/communicator.h"

namespace shardlora {

inline void finish_quietly(Communicator& comm, Event event) noexcept {
  try {
    comm.synchronize(event);
  } catch (...) {
  }
}

inline void finish_quietly(Stream& stream) noexcept {
  try {
    stream.synchronize();
  } catch (...) {
  }
}

}  // namespace shardlora
