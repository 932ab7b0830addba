// A unit's flat bytes. Frozen parameters lie one after the other, each from a 4 KiB page on with its sections (codes,
// quantisation metadata) behind each other, as it lies in a prepared base: so a run of pages is a run of a file for
// every parameter in it. A rank's share is a run of whole pages, never decoded alone; metadata is part of it, sharded
// too, never replicated. Trainable parameters: f32 elements one tensor after the other, cut at multiples of
// kElementBlock.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "param/spec.h"
#include "tensor/pages.h"

namespace shardlora {

inline constexpr std::size_t kSectionAlignment = 64;  // bytes: every section starts here

// Where rank r's share of `total` begins and ends: W + 1 offsets. All shares are as long as the first one, which is
// whole grains, but for what the last ranks lack: so shares that are padded to equal lengths make up the whole, in its
// order, and the padding comes behind it.
std::vector<std::size_t> equal_cuts(std::size_t total, std::size_t grain, int ranks);

// How a frozen parameter lies from its first page on.
struct ParamLayout {
  std::array<std::size_t, kSections> sections{};  // where each begins
  std::size_t bytes = 0;                          // whole pages
};
ParamLayout layout_of(const Format& format, const Shape& shape);

class UnitLayout {
 public:
  explicit UnitLayout(const UnitSpec& spec);

  std::size_t frozen_bytes() const { return frozen_bytes_; }
  std::int64_t trainable_elements() const { return trainable_elements_; }

  // Views of all parameters in the order of the spec: frozen ones from flat bytes at `frozen`, trainable ones as dense
  // values of `trainable_dtype` at `trainable` (either may be null if the unit has none).
  std::vector<PackedTensor> views(const std::byte* frozen, const std::byte* trainable, DType trainable_dtype) const;
  // One f32 view per trainable parameter of flat f32 elements.
  std::vector<Tensor> trainable_views(std::byte* elements) const;
  // Byte offset of section `s` of frozen parameter `param`.
  std::size_t section_offset(std::size_t param, int s) const { return offsets_[param][static_cast<std::size_t>(s)]; }
  // Where frozen parameter `param` ends, with what fills its last page.
  std::size_t end_of(std::size_t param) const { return ends_[param]; }
  // Element offset of trainable parameter `param` (an index into the spec).
  std::int64_t element_offset(std::size_t param) const { return element_offsets_[param]; }
  const UnitSpec& spec() const { return *spec_; }

 private:
  const UnitSpec* spec_;
  std::vector<std::array<std::size_t, kSections>> offsets_;
  std::vector<std::size_t> ends_;
  std::vector<std::int64_t> element_offsets_;
  std::size_t frozen_bytes_ = 0;
  std::int64_t trainable_elements_ = 0;
};

}  // namespace shardlora
