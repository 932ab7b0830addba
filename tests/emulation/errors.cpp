#include "emulation/errors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <vector>

#include "emulation/runtime.h"
#include "emulation/settings.h"

namespace emulation {

namespace {

constexpr int kMostDevices = 64;

struct Injected {
  int nth, code;
};

struct Errors {
  std::array<std::atomic<cudaError_t>, kMostDevices> device{};
  std::atomic<bool> watched = false;  // any injection or counting: keeps ordinary calls cheap
  std::mutex mutex;                   // guards the rest
  std::array<std::string, kMostDevices> text;
  std::multimap<std::string, Injected> injected;
  std::map<std::string, int> calls;
  std::set<std::string> without_device;  // functions that a thread called which had chosen no device
};

Errors& errors() {
  static auto* all = [] {
    auto* made = new Errors;
    if (const char* plan = std::getenv("EMULATED_CUDA_FAIL")) {
      std::istringstream items(plan);
      for (std::string item; std::getline(items, item, ',');) {
        const auto first = item.find(':'), second = item.find(':', first + 1);
        if (second == std::string::npos) {
          fmt::print(stderr, "emulation: EMULATED_CUDA_FAIL: write {} as FUNCTION:NTH:CODE\n", item);
          std::abort();
        }
        made->injected.insert(
            {item.substr(0, first), {std::atoi(item.c_str() + first + 1), std::atoi(item.c_str() + second + 1)}});
      }
      made->watched = !made->injected.empty();
    }
    return made;
  }();
  return *all;
}

thread_local cudaError_t last = cudaSuccess, explained = cudaSuccess;
thread_local std::string explanation;
thread_local int current = 0;
thread_local bool chosen = false;

}  // namespace

void fail_device(int device, cudaError_t code, const std::string& text) {
  fmt::print(stderr, "emulation: {}\n", text);
  Errors& all = errors();
  const std::lock_guard lock(all.mutex);
  auto& slot = all.device[static_cast<std::size_t>(device)];
  if (slot.load() != cudaSuccess) return;
  all.text[static_cast<std::size_t>(device)] = text;
  slot = code;
}

cudaError_t device_error(int device) { return errors().device[static_cast<std::size_t>(device)]; }

std::string device_failure(int device) {
  const std::lock_guard lock(errors().mutex);
  return errors().text[static_cast<std::size_t>(device)];
}

void clear_device_errors() {
  const std::lock_guard lock(errors().mutex);
  for (auto& each : errors().device) each = cudaSuccess;
  for (auto& each : errors().text) each.clear();
  last = explained = cudaSuccess;
}

int injected_error(const char* function) {
  Errors& all = errors();
  if (!all.watched) return 0;
  const std::lock_guard lock(all.mutex);
  const int call = ++all.calls[function];
  for (auto [i, end] = all.injected.equal_range(function); i != end; ++i)
    if (i->second.nth == call) return i->second.code;
  return 0;
}

void fail_call(const char* function, int nth, int code) {
  Errors& all = errors();
  const std::lock_guard lock(all.mutex);
  all.watched = true;
  all.injected.insert({function, {all.calls[function] + nth, code}});
}

void fail_no_call() {
  Errors& all = errors();
  const std::lock_guard lock(all.mutex);
  all.watched = true;  // from here on calls are counted
  all.injected.clear();
  all.calls.clear();
  all.without_device.clear();
}

void uses_device(const char* function) {
  if (chosen) return;
  const std::lock_guard lock(errors().mutex);
  errors().without_device.insert(function);
}

std::string calls_without_device() {
  const std::lock_guard lock(errors().mutex);
  return fmt::format("{}", fmt::join(errors().without_device, ", "));
}

int calls_of(const char* function) {
  const std::lock_guard lock(errors().mutex);
  const auto found = errors().calls.find(function);
  return found == errors().calls.end() ? 0 : found->second;
}

cudaError_t enter(const char* function) {
  if (const int code = injected_error(function); code != 0)
    return leave(static_cast<cudaError_t>(code), fmt::format("{} was told to fail", function));
  return settings().devices > 0 ? device_error(current) : cudaSuccess;
}

cudaError_t enter_on_device(const char* function) {
  uses_device(function);
  return enter(function);
}

cudaError_t leave(cudaError_t error, const std::string& why) {
  if (error == cudaSuccess) return error;
  last = error;
  explained = error;
  explanation = why;
  return error;
}

cudaError_t last_error() {
  if (settings().devices > 0)
    if (const auto sticky = device_error(current); sticky != cudaSuccess) return sticky;
  return last;
}

cudaError_t take_last_error() {
  const cudaError_t error = last_error();
  last = cudaSuccess;
  return error;
}

std::string reason_of(cudaError_t error) {
  if (settings().devices > 0 && device_error(current) == error && error != cudaSuccess) return device_failure(current);
  return explained == error ? explanation : std::string{};
}

int current_device() { return current; }
void set_current_device(int device) {
  current = device;
  chosen = true;
}

}  // namespace emulation
