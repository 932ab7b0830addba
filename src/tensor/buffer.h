// The only owner of memory on the path of a step. Move-only; gives its bytes back to the arena it came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "tensor/tensor.h"

namespace shardlora {

enum class Tier : std::uint8_t { kDevice, kPinned, kDisk };  // a Device allocates the first two
inline constexpr int kAllocatedTiers = 2;

// What memory is for: the rows of every memory report.
enum class Purpose : std::uint8_t {
  kFrozen,         // base weights at rest
  kTrainable,      // adapters: fp32 masters
  kGradients,      // gradient shards and the nodes of the gradient tree
  kOptimizer,      // optimiser state
  kLayerInputs,    // boundary activations
  kLive,           // one layer's activations and gradients, kept activations
  kStreaming,      // slots that borrowed units pass through
  kHead,           // chunked logits
  kCommunication,  // staging of collectives
  kWorkspace,      // scratchpads of libraries, micro-batch tokens
  kCount
};

std::string_view name_of(Purpose purpose);

class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual void release(std::byte* data, std::size_t bytes, Tier tier, Purpose purpose) noexcept = 0;
};

class Buffer {
 public:
  Buffer() = default;
  Buffer(Allocator& owner, std::byte* data, std::size_t bytes, Tier tier, Purpose purpose)
      : owner_(&owner), data_(data), bytes_(bytes), tier_(tier), purpose_(purpose) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(tier_, other.tier_);
    std::swap(purpose_, other.purpose_);
    return *this;
  }
  ~Buffer() {
    if (owner_ != nullptr) owner_->release(data_, bytes_, tier_, purpose_);
  }

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  // The values from byte `offset` on.
  Tensor tensor(DType dtype, Shape shape, std::size_t offset = 0) const {
    const Tensor view{data_ + offset, dtype, shape};
    CHECK(offset + view.bytes() <= bytes_, "a view of {} bytes at {} in a buffer of {}", view.bytes(), offset, bytes_);
    return view;
  }

 private:
  Allocator* owner_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  Tier tier_ = Tier::kDevice;
  Purpose purpose_ = Purpose::kWorkspace;
};

}  // namespace shardlora
