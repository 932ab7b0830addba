#include "backend/cuda/cuda_device.h"

#include "backend/cuda/cublaslt_table.h"
#include "backend/cuda/cuda_error.h"
#include "backend/cuda/cuda_memory.h"
#include "base/error.h"

namespace shardlora {

using cuda::check;

namespace {

// The GPU that all calls of this thread mean from now on.
int chosen(int ordinal) {
  check(cudaSetDevice(ordinal), "choosing a GPU");
  return ordinal;
}

cudaStream_t native(Stream& stream) {
  auto* const cuda = dynamic_cast<CudaStream*>(&stream);
  CHECK(cuda != nullptr, "a GPU was given a stream of another device");
  return cuda->native();
}

cudaDeviceProp properties(int ordinal) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, ordinal), "asking what the GPU is");
  return properties;
}

int attribute(cudaDeviceAttr which, int ordinal) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, ordinal), "asking what the GPU is");
  return value;
}

}  // namespace

CudaDevice::CudaDevice(const GpuOptions& options)
    : ordinal_(chosen(options.ordinal)),
      threads_(options.threads),
      device_memory_(Tier::kDevice, options.device_limit, std::make_unique<CudaMemory>(ordinal_, options.poison)),
      host_memory_(Tier::kPinned, options.host_limit, std::make_unique<PinnedMemory>(options.poison)),
      compute_(ordinal_),
      timeline_(ordinal_, compute_),
      ops_(compute_, *this) {}

Buffer CudaDevice::allocate(std::size_t bytes, Tier tier, Purpose purpose) {
  CHECK(tier != Tier::kDisk, "a device has no disk");
  chosen(ordinal_);
  return (tier == Tier::kDevice ? device_memory_ : host_memory_).allocate(bytes, purpose);
}

MemoryUse CudaDevice::memory(Tier tier) const {
  CHECK(tier != Tier::kDisk, "a device has no disk");
  return (tier == Tier::kDevice ? device_memory_ : host_memory_).use();
}

void CudaDevice::reset_peaks() {
  device_memory_.reset_peaks();
  host_memory_.reset_peaks();
}

void CudaDevice::count_only(bool on) {
  chosen(ordinal_);
  device_memory_.count_only(on);
  host_memory_.count_only(on);
}

std::unique_ptr<Stream> CudaDevice::make_stream(const std::string&) {
  return std::make_unique<CudaStream>(ordinal_, CudaStream::Priority::kHigh);
}

void CudaDevice::copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  chosen(ordinal_);  // a host-staged communicator copies from its own thread
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(stream)), "copying");
}

void CudaDevice::poison(std::byte* data, std::size_t bytes, Stream& stream) {
  if (bytes == 0) return;
  chosen(ordinal_);
  check(cudaMemsetAsync(data, 0xff, bytes, native(stream)), "filling memory");
}

Support CudaDevice::support(DType dtype) const {
  const int capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, ordinal_) +
                         attribute(cudaDevAttrComputeCapabilityMinor, ordinal_);
  switch (dtype) {
    case DType::kF32: return Support::kFast;
    case DType::kBF16: return capability >= 80 ? Support::kFast : Support::kNone;
    case DType::kF16: return capability >= 75 ? Support::kFast : Support::kNone;  // older ones lack the products
    default: return Support::kNone;
  }
}

std::string CudaDevice::description() const {
  return fmt::format("{}, {:.0f} GiB", numerics(),
                     static_cast<double>(properties(ordinal_).totalGlobalMem) / (1 << 30));
}

// The driver compiles the kernels for cards that are newer than the build.
std::string CudaDevice::numerics() const {
  const cudaDeviceProp card = properties(ordinal_);
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking what the driver is");
  const std::size_t cublas = cublaslt::table().version();  // 130102: 13.1.2
  return fmt::format("{}, compute capability {}.{}, driver for CUDA {}.{}, cuBLASLt {}.{}.{}", card.name, card.major,
                     card.minor, driver / 1000, driver % 1000 / 10, cublas / 10000, cublas / 100 % 100, cublas % 100);
}

}  // namespace shardlora
