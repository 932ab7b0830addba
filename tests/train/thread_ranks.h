// Runs a function on every rank of a job inside a test; the ranks are threads of this process.
#pragma once

#include <exception>
#include <thread>
#include <vector>

#include "base/error.h"
#include "comm/thread_rendezvous.h"

namespace shardlora {

// What `body(rendezvous)` returned, by rank. Throws the first failure that is not a consequence of another's.
template <typename Body>
auto on_thread_ranks(int ranks, const Body& body) {
  const std::vector<std::unique_ptr<Rendezvous>> all = make_thread_ranks(ranks);
  std::vector<decltype(body(*all[0]))> results(all.size());
  std::vector<std::exception_ptr> errors(all.size());
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < all.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        results[r] = body(*all[r]);
      } catch (...) {
        errors[r] = std::current_exception();
        all[r]->abort(1);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  std::exception_ptr consequence;
  for (const std::exception_ptr& e : errors) {
    if (!e) continue;
    try {
      std::rethrow_exception(e);
    } catch (const PeerFailed&) {
      consequence = e;
    }
  }
  if (consequence) std::rethrow_exception(consequence);
  return results;
}

}  // namespace shardlora
