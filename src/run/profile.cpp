#include "run/profile.h"

#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

#include <map>
#include <utility>

#include "base/file.h"

namespace shardlora {

Profile::Profile(Ranks& ranks, std::string trace) : ranks_(ranks), trace_(std::move(trace)) {
  Timeline& timeline = ranks.device->timeline();
  timeline.measure(trace_.empty() ? timeline.by_itself() : Timing::kSpans);
}

nlohmann::ordered_json Profile::waits_of_step() {
  Timeline& timeline = ranks_.device->timeline();
  if (timeline.timing() == Timing::kOff) return nullptr;
  const Waits mine = timeline.take_waits();
  std::vector<std::vector<double>> all{{mine.begin(), mine.end()}};
  if (ranks_.size() > 1) all = ranks_.exchange(all[0]);
  nlohmann::ordered_json waits;
  for (std::size_t h = 0; h < mine.size(); ++h)
    for (const std::vector<double>& rank : all) waits[name_of(static_cast<Hop>(h))].push_back(rank[h]);
  if (++steps_ == kTracedSteps) write_trace();
  return waits;
}

void Profile::finish() {
  if (steps_ < kTracedSteps) write_trace();
}

// One that cannot be written is no reason to lose what was trained.
void Profile::write_trace() {
  Timeline& timeline = ranks_.device->timeline();
  if (timeline.timing() != Timing::kSpans) return;
  const std::vector<Span> spans = timeline.take_spans();
  timeline.measure(Timing::kWaits);
  const std::filesystem::path file = trace_file(trace_, ranks_.rank(), ranks_.size());
  try {
    write_file_atomically(file, chrome_trace(spans, ranks_.rank()));
    spdlog::info("a trace of the first {} is in {}", steps_ == 1 ? "step" : fmt::format("{} steps", steps_),
                 file.string());
  } catch (const Error& error) {
    spdlog::warn("no trace is written: {}", error.what());
  }
}

std::filesystem::path trace_file(const std::filesystem::path& trace, int rank, int ranks) {
  if (ranks == 1) return trace;
  std::filesystem::path file = trace;
  return file.replace_extension(fmt::format("rank{}{}", rank, trace.extension().string()));
}

std::string chrome_trace(std::span<const Span> spans, int rank) {
  using Json = nlohmann::ordered_json;
  Json events = Json::array();
  const auto name = [&](const char* kind, std::size_t thread, const std::string& word) {
    events.push_back({{"name", kind}, {"ph", "M"}, {"pid", rank}, {"tid", thread}, {"args", {{"name", word}}}});
  };
  name("process_name", 0, fmt::format("rank {}", rank));
  std::map<std::string, std::size_t> threads;
  for (const Span& span : spans) {
    const auto [thread, fresh] = threads.try_emplace(span.stream, threads.size());
    if (fresh) name("thread_name", thread->second, span.stream);
    events.push_back({{"name", span.name},
                      {"ph", "X"},
                      {"pid", rank},
                      {"tid", thread->second},
                      {"ts", static_cast<double>(span.begin) / 1e3},
                      {"dur", static_cast<double>(span.end - span.begin) / 1e3}});
  }
  return events.dump() + "\n";
}

}  // namespace shardlora
