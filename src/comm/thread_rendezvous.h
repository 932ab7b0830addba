// Ranks that are threads of one process: what runs between processes runs between them, where ThreadSanitizer can see
// it.
#pragma once

#include <memory>
#include <vector>

#include "comm/rendezvous.h"

namespace shardlora {

// One for each thread. A rank's `abort`, or its end by an exception, ends what the others wait for with PeerFailed.
std::vector<std::unique_ptr<Rendezvous>> make_thread_ranks(int ranks);

}  // namespace shardlora
