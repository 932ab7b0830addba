#include "base/config_problems.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace shardlora {
namespace {

// The line in "recipe.yaml:14: …"; what has none comes last.
int line_of(std::string_view problem) {
  for (std::size_t colon = problem.find(':'); colon != std::string_view::npos; colon = problem.find(':', colon + 1)) {
    int line = 0;
    const char* const begin = problem.data() + colon + 1;
    const auto [end, error] = std::from_chars(begin, problem.data() + problem.size(), line);
    if (error == std::errc() && end != problem.data() + problem.size() && *end == ':') return line;
    if (problem.substr(colon).starts_with(": ")) break;  // the place ends here
  }
  return std::numeric_limits<int>::max();
}

std::vector<std::string> by_line(std::vector<std::string> problems) {
  std::stable_sort(problems.begin(), problems.end(),
                   [](const std::string& a, const std::string& b) { return line_of(a) < line_of(b); });
  return problems;
}

std::string text_of(const std::vector<std::string>& problems) {
  if (problems.size() == 1) return problems.front();
  return fmt::format("{} settings are in the way:\n  {}", problems.size(), fmt::join(problems, "\n  "));
}

}  // namespace

ConfigError::ConfigError(std::vector<std::string> problems)
    : Error(text_of(by_line(problems))), problems_(by_line(std::move(problems))) {}

void ConfigProblems::raise() const {
  if (!problems_.empty()) throw ConfigError(problems_);
}

}  // namespace shardlora
