#include "backend/cpu/cpu_device.h"

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "backend/cpu/block_product.h"
#include "backend/cpu/cpu_features.h"
#include "backend/cpu/cpu_ops.h"
#include "base/parallel.h"

namespace shardlora {

namespace {

// ThreadSanitizer does not see the barriers inside libgomp: under it kernels get one thread.
#ifdef __SANITIZE_THREAD__
constexpr bool kOneThread = true;
#else
constexpr bool kOneThread = false;
#endif

int thread_count(int asked) {
  if (kOneThread) return 1;
  return asked > 0 ? asked : available_processors();
}

}  // namespace

CpuDevice::CpuDevice(const CpuDeviceOptions& options)
    : options_(options),
      threads_(thread_count(options.threads)),
      device_memory_(Tier::kDevice, options.device_limit, std::make_unique<HostMemory>(options.poison)),
      host_memory_(Tier::kPinned, options.host_limit, std::make_unique<HostMemory>(options.poison)),
      compute_("compute", options.mode, options.seed) {
  compute_.submit([threads = threads_] { omp_set_num_threads(threads); });  // holds for the thread that runs it only
  ops_ = std::make_unique<CpuOps>(compute_, *this, threads_);
}

CpuDevice::~CpuDevice() {
  try {
    compute_.synchronize();  // queued kernels use ops_, which goes before the stream does
  } catch (...) {            // nobody is left who could be told
  }
}

Buffer CpuDevice::allocate(std::size_t bytes, Tier tier, Purpose purpose) {
  CHECK(tier != Tier::kDisk, "a device has no disk");
  return (tier == Tier::kDevice ? device_memory_ : host_memory_).allocate(bytes, purpose);
}

MemoryUse CpuDevice::memory(Tier tier) const {
  CHECK(tier != Tier::kDisk, "a device has no disk");
  return (tier == Tier::kDevice ? device_memory_ : host_memory_).use();
}

void CpuDevice::reset_peaks() {
  device_memory_.reset_peaks();
  host_memory_.reset_peaks();
}

void CpuDevice::count_only(bool on) {
  compute_.synchronize();
  ops_->forget_scratch();
  device_memory_.count_only(on);
  host_memory_.count_only(on);
}

Ops& CpuDevice::ops() { return *ops_; }

std::unique_ptr<Stream> CpuDevice::make_stream(const std::string& name) {
  const StreamMode mode = options_.mode == StreamMode::kDelayed ? StreamMode::kDelayed : StreamMode::kQueued;
  return std::make_unique<CpuStream>(name, mode, options_.seed);
}

void CpuDevice::copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  static_cast<CpuStream&>(stream).submit([=] { std::memcpy(to, from, bytes); });
}

void CpuDevice::poison(std::byte* data, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  static_cast<CpuStream&>(stream).submit([=] { std::memset(data, 0xff, bytes); });
}

Support CpuDevice::support(DType dtype) const {
  switch (dtype) {
    case DType::kF32: return Support::kFast;
    case DType::kBF16: return has_bf16() ? Support::kFast : Support::kNone;
    case DType::kF16: return Support::kSlow;  // its products are f32's, with conversions around them
    default: return Support::kNone;
  }
}

std::string CpuDevice::description() const {
  return fmt::format("CPU: {} thread{}, {}", threads_, threads_ == 1 ? "" : "s", name_of(instruction_set()));
}

std::string CpuDevice::numerics() const {
  return fmt::format("CPU with {}, own kernels in {}-bit registers, {}", name_of(instruction_set()),
                     8 * __BIGGEST_ALIGNMENT__, cpu::product_library());
}

std::unique_ptr<Device> make_cpu_device(const CpuDeviceOptions& options) {
  return std::make_unique<CpuDevice>(options);
}

}  // namespace shardlora
