// A launch: its limits are checked at once, its blocks run later on the stream, one after the other in a shuffled
// order, each on shared memory that reads as NaN until it is written.
#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <numeric>

#include "emulation/block.h"
#include "emulation/errors.h"
#include "emulation/fault.h"
#include "emulation/memory.h"
#include "emulation/runtime.h"
#include "emulation/sanitizers.h"
#include "emulation/settings.h"
#include "emulation/stream.h"
#include "emulation/symbols.h"

namespace emulation {

namespace {

constexpr std::size_t kSharedForAll = 48 << 10, kSharedAtMost = 99 << 10;  // 99 KiB: sm_86, the smallest we support
constexpr std::size_t kSharedTuring = 64 << 10, kPage = 4096, kParameterBytes = 4096;
constexpr unsigned char kUnwritten = 0xFF, kGuard = 0xA5;  // 0xFF: NaN in every float type, -1 as an integer

std::size_t shared_at_most() { return settings().major == 7 ? kSharedTuring : kSharedAtMost; }

// Dynamic shared memory that ends where a page begins that cannot be touched; guard bytes around the rest.
class SharedMemory {
 public:
  SharedMemory() {
    auto* memory = static_cast<char*>(mmap(nullptr, kBytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    first_ = memory + kPage;
    mprotect(first_, kBytes, PROT_READ | PROT_WRITE);
  }
  ~SharedMemory() { munmap(first_ - kPage, kBytes + 2 * kPage); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void prepare(std::size_t bytes) {
    bytes_ = bytes;
    data_ = first_ + kBytes - (bytes + 15) / 16 * 16;
    const std::size_t front = std::min<std::size_t>(kFront, static_cast<std::size_t>(data_ - first_));
    std::memset(data_ - front, kGuard, front);
    std::memset(data_, kUnwritten, bytes);
    std::memset(data_ + bytes, kGuard, static_cast<std::size_t>(first_ + kBytes - data_ - bytes));
  }
  bool intact() const {
    const std::size_t front = std::min<std::size_t>(kFront, static_cast<std::size_t>(data_ - first_));
    bool same = true;
    for (std::size_t i = 1; i <= front; ++i) same &= static_cast<unsigned char>(*(data_ - i)) == kGuard;
    for (const char* p = data_ + bytes_; p < first_ + kBytes; ++p) same &= static_cast<unsigned char>(*p) == kGuard;
    return same;
  }
  char* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  bool just_outside(const void* address) const {
    return (address >= first_ + kBytes && address < first_ + kBytes + kPage) ||
           (address >= first_ - kPage && address < first_);
  }

 private:
  static constexpr std::size_t kBytes = (kSharedAtMost + kPage - 1) / kPage * kPage, kFront = 256;
  char* first_;
  char* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// What a host thread needs to run blocks.
struct Processor {
  Block block;
  SharedMemory shared;
};

struct Spare {
  std::mutex mutex;
  std::vector<std::unique_ptr<Processor>> processors;
};
Spare& spare() {
  static auto* all = new Spare;
  return *all;
}

// This host thread's, from its first kernel on; when the thread ends it goes to the next one.
struct OwnProcessor {
  OwnProcessor() {
    const std::lock_guard lock(spare().mutex);
    if (spare().processors.empty()) {
      processor = std::make_unique<Processor>();
      return;
    }
    processor = std::move(spare().processors.back());
    spare().processors.pop_back();
    processor->block.restart();
  }
  ~OwnProcessor() {
    const std::lock_guard lock(spare().mutex);
    spare().processors.push_back(std::move(processor));
  }
  OwnProcessor(const OwnProcessor&) = delete;
  OwnProcessor& operator=(const OwnProcessor&) = delete;
  std::unique_ptr<Processor> processor;
};

Processor& own_processor() {
  thread_local OwnProcessor own;
  return *own.processor;
}

thread_local Processor* processor = nullptr;  // where a kernel runs
thread_local const void* running_kernel = nullptr;

struct Kernel {
  const void* address;
  dim3 grid, block;
  std::size_t shared;
  std::function<std::function<void()>(int device)> prepare;
};

Failure run_block(const Kernel& kernel, const std::function<void()>& body, const std::vector<SharedVariable>& variables,
                  std::uint64_t index, std::uint64_t seed) {
  const dim3 grid = kernel.grid;
  blockIdx = {static_cast<unsigned>(index % grid.x), static_cast<unsigned>(index / grid.x % grid.y),
              static_cast<unsigned>(index / (std::uint64_t{grid.x} * grid.y))};
  processor->shared.prepare(kernel.shared);
  for (const auto& variable : variables) std::memset(variable.data, kUnwritten, variable.bytes);
  Failure failure = processor->block.run(body, mixed(seed, index));
  if (failure.code == cudaSuccess && !processor->shared.intact())
    failure = {cudaErrorIllegalAddress,
               fmt::format("block ({}, {}, {}) wrote outside its {} bytes of dynamic shared memory", blockIdx.x,
                           blockIdx.y, blockIdx.z, kernel.shared)};
  return failure;
}

void run(const Kernel& kernel, int device, std::uint64_t seed) {
  catch_faults();
  gridDim = kernel.grid;
  blockDim = kernel.block;
  const auto body = kernel.prepare(device);
  if (!body)
    return fail_device(
        device, cudaErrorIllegalAddress,
        fmt::format("kernel {}: a parameter points to ordinary host memory", facts_of(kernel.address).name));
  const std::uint64_t blocks = std::uint64_t{kernel.grid.x} * kernel.grid.y * kernel.grid.z;
  processor = &own_processor();
  running_kernel = kernel.address;
  const auto& variables = shared_variables(kernel.address);
  std::uint64_t stride = mixed(seed, 1) % blocks | 1U, at = mixed(seed, 2) % blocks;
  while (std::gcd(stride, blocks) != 1) ++stride;
  for (std::uint64_t i = 0; i < blocks; ++i, at = (at + stride) % blocks) {
    const Failure failure = run_block(kernel, body, variables, at, seed);
    if (failure.code == cudaSuccess) continue;
    fail_device(device, failure.code,
                fmt::format("kernel {}, grid ({}, {}, {}), block ({}, {}, {}): {}", facts_of(kernel.address).name,
                            kernel.grid.x, kernel.grid.y, kernel.grid.z, kernel.block.x, kernel.block.y, kernel.block.z,
                            failure.text));
    break;
  }
  processor = nullptr;
}

struct AskedFor {
  std::mutex mutex;
  std::map<const void*, std::size_t> shared;
};
AskedFor& asked_for() {
  static auto* all = new AskedFor;
  return *all;
}

std::size_t shared_allowed(const void* kernel) {
  const std::lock_guard lock(asked_for().mutex);
  const auto found = asked_for().shared.find(kernel);
  return found == asked_for().shared.end() ? kSharedForAll : std::max(kSharedForAll, found->second);
}

cudaError_t breach(cudaError_t error, const void* kernel, const std::string& text) {
  return leave(error, fmt::format("kernel {}: {}", facts_of(kernel).name, text));
}

// Limits that hold for every card from sm_75 on.
cudaError_t check_launch(const cudaLaunchConfig_t& c, const void* kernel, std::size_t parameter_bytes) {
  const dim3 grid = c.gridDim, block = c.blockDim;
  const KernelFacts& facts = facts_of(kernel);
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0)
    return breach(cudaErrorInvalidConfiguration, kernel, "an empty grid or block");
  if (grid.x > 0x7FFFFFFFU || grid.y > 65535 || grid.z > 65535)
    return breach(cudaErrorInvalidConfiguration, kernel,
                  fmt::format("a grid of ({}, {}, {}); y and z go up to 65535", grid.x, grid.y, grid.z));
  if (threads > kMostThreads || block.x > 1024 || block.y > 1024 || block.z > 64)
    return breach(cudaErrorInvalidConfiguration, kernel,
                  fmt::format("a block of ({}, {}, {}); a block has at most 1024 threads", block.x, block.y, block.z));
  if (threads > facts.most_threads)
    return breach(cudaErrorLaunchOutOfResources, kernel,
                  fmt::format("{} threads, but its __launch_bounds__ promise {}", threads, facts.most_threads));
  if (c.dynamicSmemBytes + facts.static_shared > shared_allowed(kernel))
    return breach(cudaErrorInvalidValue, kernel,
                  fmt::format("{} + {} bytes of dynamic and static shared memory; {} were asked for",
                              c.dynamicSmemBytes, facts.static_shared, shared_allowed(kernel)));
  if (parameter_bytes > kParameterBytes)
    return breach(cudaErrorInvalidValue, kernel, fmt::format("{} bytes of parameters", parameter_bytes));
  return cudaSuccess;
}

}  // namespace

void* dynamic_shared_memory() {
  if (processor->shared.bytes() == 0)
    fail_thread(cudaErrorIllegalAddress, "dynamic shared memory is used, but the launch gave none");
  return processor->shared.data();
}

bool is_shared(const void* address, std::size_t bytes) {
  const auto* first = static_cast<const char*>(address);
  const auto inside = [&](const char* data, std::size_t size) { return first >= data && first + bytes <= data + size; };
  if (inside(processor->shared.data(), processor->shared.bytes())) return true;
  for (const auto& variable : shared_variables(running_kernel))
    if (inside(variable.data, variable.bytes)) return true;
  return false;
}

bool just_outside_shared(const void* address) {
  return processor != nullptr && processor->shared.just_outside(address);
}

bool see_through_views(void* parameter, std::size_t bytes, bool pointer, int device) {
  for (std::size_t at = 0; at + sizeof(void*) <= bytes; at += sizeof(void*)) {
    void* address = nullptr;
    std::memcpy(&address, static_cast<char*>(parameter) + at, sizeof address);
    if (owner_of(address) == device) {
      address = view_of(address);
      std::memcpy(static_cast<char*>(parameter) + at, &address, sizeof address);
    } else if (pointer && address != nullptr && owner_of(address) < 0 && !is_pinned(address) &&
               describe(address).empty()) {
      return false;
    }
  }
  return true;
}

cudaError_t launch_kernel(const cudaLaunchConfig_t& config, const void* kernel, std::size_t parameter_bytes,
                          std::function<std::function<void()>(int device)> prepare) {
  if (const auto error = enter_on_device("cudaLaunchKernel"); error != cudaSuccess) return error;
  if (!Stream::known(config.stream) || config.stream->device() != current_device())
    return breach(cudaErrorInvalidResourceHandle, kernel, "the stream is not one of the current device");
  if (const auto error = check_launch(config, kernel, parameter_bytes); error != cudaSuccess) return error;
  const std::uint64_t seed = next_seed();
  config.stream->launch(
      [k = Kernel{kernel, config.gridDim, config.blockDim, config.dynamicSmemBytes, std::move(prepare)},
       device = current_device(), seed] { run(k, device, seed); });
  return cudaSuccess;
}

}  // namespace emulation

extern "C" cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  using namespace emulation;
  if (const auto error = enter_on_device("cudaFuncSetAttribute"); error != cudaSuccess) return error;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<std::size_t>(value) + facts_of(kernel).static_shared > shared_at_most())
    return breach(
        cudaErrorInvalidValue, kernel,
        fmt::format("{} bytes of shared memory; the smallest card that we support has {}", value, shared_at_most()));
  const std::lock_guard lock(asked_for().mutex);
  asked_for().shared[kernel] = static_cast<std::size_t>(value) + facts_of(kernel).static_shared;
  return cudaSuccess;
}
