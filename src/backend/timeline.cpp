#include "backend/timeline.h"

#include <chrono>
#include <utility>

namespace shardlora {

const char* name_of(Hop hop) {
  switch (hop) {
    case Hop::kRead: return "read";
    case Hop::kUpload: return "upload";
    case Hop::kGather: return "gather";
    case Hop::kReduce: return "reduce";
    case Hop::kLayerInputs: return "layer_inputs";
    case Hop::kCount: break;
  }
  return "";
}

std::int64_t nanoseconds_now() {
  using std::chrono::steady_clock;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

void Timeline::wait(Stream& stream, Event event, Hop hop) {
  if (timing_ == Timing::kOff || event.stream == nullptr || event.stream == &stream) return stream.wait(event);
  const Mark mark = open({{"compute", std::string("waits: ") + name_of(hop)}, hop});
  mark_begin(stream, mark);
  stream.wait(event);
  mark_end(stream, mark);
}

Timeline::Mark Timeline::begin(Stream& stream, const std::string& stream_name, const std::string& name) {
  if (timing_ != Timing::kSpans) return 0;
  const Mark mark = open({{stream_name, name}, {}});
  mark_begin(stream, mark);
  return mark;
}

void Timeline::end(Stream& stream, Mark mark) {
  if (mark != 0) mark_end(stream, mark);
}

Timeline::Mark Timeline::open(Open what) {
  const std::lock_guard lock(mutex_);
  open_.emplace(++last_, std::move(what));
  return last_;
}

// A stream that failed runs no more work, so its marks stay open; the run ends with it.
void Timeline::mark_begin(Stream& stream, Mark mark) {
  stream.submit([this, mark] { began(mark, nanoseconds_now()); });
}

void Timeline::mark_end(Stream& stream, Mark mark) {
  stream.submit([this, mark] { ended(mark, nanoseconds_now()); });
}

void Timeline::began(Mark mark, std::int64_t nanoseconds) {
  const std::lock_guard lock(mutex_);
  open_.at(mark).span.begin = nanoseconds;
}

void Timeline::ended(Mark mark, std::int64_t nanoseconds) {
  const std::lock_guard lock(mutex_);
  Open done = std::move(open_.extract(mark).mapped());
  done.span.end = nanoseconds;
  if (done.hop) waits_[static_cast<std::size_t>(*done.hop)] += static_cast<double>(nanoseconds - done.span.begin) / 1e9;
  if (timing_ == Timing::kSpans) spans_.push_back(std::move(done.span));
}

Waits Timeline::take_waits() {
  settle();
  const std::lock_guard lock(mutex_);
  return std::exchange(waits_, Waits{});
}

std::vector<Span> Timeline::take_spans() {
  settle();
  const std::lock_guard lock(mutex_);
  return std::exchange(spans_, {});
}

}  // namespace shardlora
