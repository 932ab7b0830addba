// Streams run work in order, one after the other; events mark points in a stream. Nothing here blocks the host but
// `synchronize`. An Event is a ticket, not an object: copying it is free and it never expires.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace shardlora {

class Stream;

// "Everything that was submitted to `stream` up to `ticket` is done." The default event is always done.
struct Event {
  Stream* stream = nullptr;
  std::uint64_t ticket = 0;
};

class Stream {
 public:
  virtual ~Stream() = default;
  // An event that completes when all work submitted so far is done.
  virtual Event record() = 0;
  // Work submitted from now on starts only after `event`. Returns at once.
  virtual void wait(Event event) = 0;
  // Runs `work` on a thread of the host in the stream's order; it must not call the device. What it throws fails the
  // stream: host work behind it is skipped, and whoever asks the stream gets to hear of it.
  virtual void submit(std::function<void()> work) = 0;
  // Throws what has failed on the stream so far. Returns at once.
  virtual void throw_failure() = 0;
  // Blocks the host until everything submitted is done. Throws what failed on the stream, if anything did.
  virtual void synchronize() = 0;
  // Blocks the host until `event` (of this stream) is done; throws as synchronize does.
  virtual void synchronize(Event event) = 0;
};

}  // namespace shardlora
