// Errors of two kinds. `Error`: the user's input or the machine is at fault; the text says what is wrong and what to
// do, `main` prints it once and exits with 1 (2 for `UsageError`). A failed CHECK is our own fault.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace shardlora {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class UsageError : public Error {
 public:
  using Error::Error;
};

// A tier has less memory left than was asked for: with less work at a time it may do.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// Thrown on a rank that stops because another one failed: that other rank prints the reason, this one stays silent.
class PeerFailed : public Error {
 public:
  using Error::Error;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& sentence);

}  // namespace shardlora

// Guards launch-level contracts (shapes, order of calls), never a loop over elements, so it stays on in release builds.
#define CHECK(condition, ...)                                                                \
  do {                                                                                       \
    if (!(condition)) [[unlikely]]                                                           \
      ::shardlora::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)
