#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::size_t kUntilThereIsAFile = 100;  // messages that wait for log_to_file

// "warning: " and "error: " before what is not plain information.
class LevelPrefix : public spdlog::custom_flag_formatter {
 public:
  explicit LevelPrefix(bool colour) : colour_(colour) {}
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    std::string_view prefix;
    if (message.level == spdlog::level::warn) prefix = colour_ ? "\x1b[33mwarning:\x1b[0m " : "warning: ";
    if (message.level >= spdlog::level::err) prefix = colour_ ? "\x1b[31merror:\x1b[0m " : "error: ";
    out.append(prefix.data(), prefix.data() + prefix.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<LevelPrefix>(colour_); }

 private:
  bool colour_;
};

}  // namespace

bool colours_wanted(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  return ::isatty(descriptor) == 1 && (no_color == nullptr || *no_color == '\0');
}

void start_log(int rank) {
  auto logger = std::make_shared<spdlog::logger>("shardlora");
  if (rank == 0) {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<LevelPrefix>('*', colours_wanted(STDERR_FILENO)).set_pattern("%*%v");
    sink->set_formatter(std::move(formatter));
    logger->sinks().push_back(std::move(sink));
    logger->sinks().push_back(std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(kUntilThereIsAFile));
  }
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

void log_to_file(const std::string& path) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    sink->set_pattern("%Y-%m-%dT%H:%M:%S%z %l %v");
    std::vector<spdlog::sink_ptr>& sinks = spdlog::default_logger()->sinks();
    const auto early =
        sinks.empty() ? nullptr : std::dynamic_pointer_cast<spdlog::sinks::ringbuffer_sink_mt>(sinks.back());
    if (early) {
      for (const auto& message : early->last_raw()) sink->log(message);
      sinks.pop_back();
    }
    sinks.push_back(std::move(sink));
  } catch (const spdlog::spdlog_ex& error) {
    fail("{}: cannot be written: {}; check that output_dir is writable", path, error.what());
  }
}

}  // namespace shardlora
