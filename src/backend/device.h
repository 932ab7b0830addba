// A place that computes: its memory (every byte passes here, libraries' scratchpads too), its streams, its kernels.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "backend/ops.h"
#include "backend/stream.h"
#include "backend/timeline.h"
#include "tensor/buffer.h"

namespace shardlora {

// Bytes of one tier, by purpose.
struct MemoryUse {
  std::array<std::size_t, static_cast<std::size_t>(Purpose::kCount)> now{}, peak{};  // peak: of each purpose by itself
  std::size_t total_now = 0, total_peak = 0;
  std::size_t limit = 0;          // 0: none
  std::uint64_t allocations = 0;  // calls so far: stays still from the second step on
};

// kSlow: right, but not faster than f32, so nobody gets it without asking for it.
enum class Support : std::uint8_t { kNone, kSlow, kFast };

class Device {
 public:
  virtual ~Device() = default;
  // Uninitialised memory, aligned to 4 KiB. Throws OutOfMemory, which names need, have and the peak by purpose, when
  // the tier's limit is passed or the machine has no more.
  virtual Buffer allocate(std::size_t bytes, Tier tier, Purpose purpose) = 0;
  virtual MemoryUse memory(Tier tier) const = 0;
  // From now on peaks are of what is in use now, or later.
  virtual void reset_peaks() = 0;
  // While on, `allocate` gives addresses that nobody may touch: what fits is found out without taking it. What was
  // given out then has to be gone when it ends. Use CountOnly.
  virtual void count_only(bool on) = 0;
  // For traffic beside compute(): on a GPU its work starts first where both have some.
  virtual std::unique_ptr<Stream> make_stream(const std::string& name) = 0;
  // The stream that all Ops run on.
  virtual Stream& compute() = 0;
  virtual Ops& ops() = 0;
  virtual Timeline& timeline() = 0;
  // Copies in the order of `stream`; both ranges must stay valid until then.
  virtual void copy(std::byte* to, const std::byte* from, std::size_t bytes, Stream& stream) = 0;
  // Overwrites with a pattern that reads as NaN in every float type: makes use after release show.
  virtual void poison(std::byte* data, std::size_t bytes, Stream& stream) = 0;
  // How well layers compute in a floating-point dtype.
  virtual Support support(DType dtype) const = 0;
  // Whether a thread of the host may read and write memory of Tier::kDevice.
  virtual bool host_reads() const { return true; }
  // Of the host, for what it computes in a stream's order (backend/host_ops.h).
  virtual int threads() const = 0;
  virtual std::string description() const = 0;  // "CPU: 2 threads, AMX"
  // What the last bits of its results depend on beside the recipe: instruction set or card, libraries that compute.
  virtual std::string numerics() const = 0;
};

// While one lives, its device's memory is only counted.
class CountOnly {
 public:
  explicit CountOnly(Device& device) : device_(device) { device_.count_only(true); }
  ~CountOnly() { device_.count_only(false); }
  CountOnly(const CountOnly&) = delete;
  CountOnly& operator=(const CountOnly&) = delete;

 private:
  Device& device_;
};

}  // namespace shardlora
