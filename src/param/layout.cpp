#include "param/layout.h"

#include <algorithm>

namespace shardlora {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t grain) { return (n + grain - 1) / grain * grain; }

}  // namespace

std::vector<std::size_t> equal_cuts(std::size_t total, std::size_t grain, int ranks) {
  CHECK(ranks > 0 && grain > 0, "{} ranks, grain {}", ranks, grain);
  const std::size_t parts = static_cast<std::size_t>(ranks), share = round_up((total + parts - 1) / parts, grain);
  std::vector<std::size_t> cuts(parts + 1);
  for (std::size_t r = 0; r <= parts; ++r) cuts[r] = std::min(total, r * share);
  return cuts;
}

ParamLayout layout_of(const Format& format, const Shape& shape) {
  ParamLayout layout;
  const SectionBytes bytes = section_bytes(format, shape);
  for (std::size_t s = 0; s < bytes.size(); ++s) {
    layout.sections[s] = round_up(layout.bytes, kSectionAlignment);
    layout.bytes = layout.sections[s] + bytes[s];
  }
  layout.bytes = whole_pages(layout.bytes);
  return layout;
}

UnitLayout::UnitLayout(const UnitSpec& spec)
    : spec_(&spec), offsets_(spec.params.size()), ends_(spec.params.size()), element_offsets_(spec.params.size()) {
  for (std::size_t p = 0; p < spec.params.size(); ++p) {
    const ParamSpec& param = spec.params[p];
    if (param.trainable) {
      element_offsets_[p] = trainable_elements_;
      trainable_elements_ += param.shape.numel();
      continue;
    }
    const ParamLayout own = layout_of(param.format, param.shape);
    for (std::size_t s = 0; s < own.sections.size(); ++s) offsets_[p][s] = frozen_bytes_ + own.sections[s];
    ends_[p] = frozen_bytes_ += own.bytes;
  }
}

std::vector<PackedTensor> UnitLayout::views(const std::byte* frozen, const std::byte* trainable,
                                            DType trainable_dtype) const {
  std::vector<PackedTensor> views;
  views.reserve(spec_->params.size());
  for (std::size_t p = 0; p < spec_->params.size(); ++p) {
    const ParamSpec& param = spec_->params[p];
    PackedTensor view{.format = param.trainable ? dense_format(trainable_dtype) : param.format, .shape = param.shape};
    if (param.trainable) {
      if (trainable != nullptr)
        view.sections[0] = trainable + static_cast<std::size_t>(element_offsets_[p]) * size_of(trainable_dtype);
    } else if (frozen != nullptr) {
      const SectionBytes bytes = section_bytes(param.format, param.shape);
      for (std::size_t s = 0; s < bytes.size(); ++s) {
        if (bytes[s] != 0) view.sections[s] = frozen + offsets_[p][s];
      }
    }
    views.push_back(view);
  }
  return views;
}

std::vector<Tensor> UnitLayout::trainable_views(std::byte* elements) const {
  std::vector<Tensor> views;
  for (std::size_t p = 0; p < spec_->params.size(); ++p) {
    if (!spec_->params[p].trainable) continue;
    std::byte* const data =
        elements == nullptr ? nullptr : elements + static_cast<std::size_t>(element_offsets_[p]) * sizeof(float);
    views.push_back({data, DType::kF32, spec_->params[p].shape});
  }
  return views;
}

}  // namespace shardlora
