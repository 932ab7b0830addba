// What streams did when: how long computing stood still for each hop of what it needs, and, for a trace, when each
// stream's work began and ended. Times are taken in the streams' own order: nobody waits for being timed, and the bits
// are the same. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/stream.h"

namespace shardlora {

// What computing waits for.
enum class Hop : std::uint8_t { kRead, kUpload, kGather, kReduce, kLayerInputs, kCount };
const char* name_of(Hop hop);  // "read", "upload", "gather", "reduce", "layer_inputs"

using Waits = std::array<double, static_cast<std::size_t>(Hop::kCount)>;  // seconds, by hop

enum class Timing : std::uint8_t { kOff, kWaits, kSpans };  // each measures what those before it do

// A piece of work of a stream. Nanoseconds of the host's steady clock, which the processes of a host share.
struct Span {
  std::string stream, name;
  std::int64_t begin = 0, end = 0;
};

class Timeline {
 public:
  virtual ~Timeline() = default;
  // What is measured where nobody asks for more: what costs nothing.
  virtual Timing by_itself() const { return Timing::kWaits; }
  // From now on. At first kOff.
  virtual void measure(Timing timing) { timing_ = timing; }
  Timing timing() const { return timing_; }

  // stream.wait(event), and how long the stream stood still for it. `stream` is the computing one; an event of its own
  // is no wait.
  void wait(Stream& stream, Event event, Hop hop);
  // Around what is submitted to `stream` in between: a span with kSpans, else nothing. `end` takes what `begin` gave.
  using Mark = std::uint64_t;
  Mark begin(Stream& stream, const std::string& stream_name, const std::string& name);
  void end(Stream& stream, Mark mark);

  // What was measured since the last call, of what is over: spans in the order in which they ended.
  Waits take_waits();
  std::vector<Span> take_spans();

 protected:
  // Has `began` or `ended` called with the time when all that was submitted to the stream so far is done.
  virtual void mark_begin(Stream& stream, Mark mark);
  virtual void mark_end(Stream& stream, Mark mark);
  // Has it called for what is done by now.
  virtual void settle() {}
  void began(Mark mark, std::int64_t nanoseconds);
  void ended(Mark mark, std::int64_t nanoseconds);

 private:
  struct Open {
    Span span;
    std::optional<Hop> hop;  // of a wait
  };
  Mark open(Open what);

  std::atomic<Timing> timing_ = Timing::kOff;
  std::mutex mutex_;  // guards all below
  Mark last_ = 0;
  std::map<Mark, Open> open_;
  Waits waits_{};
  std::vector<Span> spans_;
};

// Of the steady clock.
std::int64_t nanoseconds_now();

}  // namespace shardlora
