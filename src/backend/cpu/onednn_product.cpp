// oneDNN's matmul. Everything that differs between its versions 2 and 3 is in this file.
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>

#include <mutex>
#include <unordered_map>

#include "backend/cpu/block_product.h"

namespace shardlora::cpu {

namespace {

const dnnl::engine& engine() {
  static const dnnl::engine cpu = [] {
    dnnl::set_primitive_cache_capacity(0);  // cpu/matmul.h keeps the primitives, and a bounded number of them
    return dnnl::engine(dnnl::engine::kind::cpu, 0);
  }();
  return cpu;
}

// oneDNN plans a primitive for as many threads as OpenMP would give it: here, one.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  const int before_ = omp_get_max_threads();
};

// Version 2 describes a product in an object of its own, version 3 in the primitive_desc. A template, so that only the
// branch which this version has is compiled.
template <typename Matmul>
auto describe(const dnnl::memory::desc& a, const dnnl::memory::desc& b, const dnnl::memory::desc& y,
              const dnnl::primitive_attr& attributes) {
  using Description = typename Matmul::primitive_desc;
  if constexpr (requires { typename Matmul::desc; })
    return Description(typename Matmul::desc(a, b, y), attributes, engine());
  else
    return Description(engine(), a, b, y, attributes);
}

template <typename PostOps>
void multiply_by(PostOps& ops, float alpha) {
  if constexpr (requires { ops.append_eltwise(1.0F, dnnl::algorithm::eltwise_linear, alpha, 0.0F); })
    ops.append_eltwise(1.0F, dnnl::algorithm::eltwise_linear, alpha, 0.0F);
  else
    ops.append_eltwise(dnnl::algorithm::eltwise_linear, alpha, 0.0F);
}

dnnl::memory::data_type data_type(DType dtype) {
  return dtype == DType::kBF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

struct Operands {
  explicit Operands(const BlockShape& s)
      : a({s.m, s.k}, data_type(s.in), {s.a_row, s.a_column}),
        b({s.k, s.n}, data_type(s.in), {s.b_row, s.b_column}),
        y({s.m, s.n}, data_type(s.out), {s.y_row, 1}) {}
  dnnl::memory::desc a, b, y;
};

// Picks the kernel; it is generated only when a primitive is made of this.
dnnl::matmul::primitive_desc described(const BlockShape& s, const Operands& operands) {
  const OneThread one_thread;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops then;
  if (s.alpha != 1) multiply_by(then, s.alpha);
  if (s.accumulate == Accumulate::kYes) then.append_sum(1.0F);
  attributes.set_post_ops(then);
  try {
    return describe<dnnl::matmul>(operands.a, operands.b, operands.y, attributes);
  } catch (const dnnl::error& error) {
    fail(
        "oneDNN cannot multiply {} matrices of {} x {} x {} on this CPU ({}); set bf16: false, or install a newer "
        "oneDNN",
        name_of(s.in), s.m, s.k, s.n, error.what());
  }
}

class OneDnnProduct final : public BlockProduct {
 public:
  explicit OneDnnProduct(const BlockShape& shape) : operands_(shape) {
    const auto description = described(shape, operands_);
    const OneThread one_thread;
    scratchpad_ = description.scratchpad_desc();
    primitive_ = dnnl::matmul(description);
  }

  std::size_t scratch_bytes() const override { return scratchpad_.get_size(); }

  void run(std::byte* y, const std::byte* a, const std::byte* b, std::byte* scratch) const override {
    thread_local dnnl::stream stream(engine());
    const auto memory = [](const dnnl::memory::desc& desc, const std::byte* data) {
      return dnnl::memory(desc, engine(), const_cast<std::byte*>(data));
    };
    primitive_.execute(stream, {{DNNL_ARG_SRC, memory(operands_.a, a)},
                                {DNNL_ARG_WEIGHTS, memory(operands_.b, b)},
                                {DNNL_ARG_DST, memory(operands_.y, y)},
                                {DNNL_ARG_SCRATCHPAD, memory(scratchpad_, scratch)}});
  }

 private:
  const Operands operands_;
  dnnl::memory::desc scratchpad_;
  dnnl::matmul primitive_;
};

}  // namespace

std::unique_ptr<BlockProduct> make_block_product(const BlockShape& shape) {
  return std::make_unique<OneDnnProduct>(shape);
}

std::string product_library() {
  const dnnl_version_t* const v = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
}

std::size_t block_scratch_bytes(const BlockShape& shape) {
  static std::mutex mutex;
  static std::unordered_map<BlockShape, std::size_t, BlockShapeHash> known;
  const std::lock_guard lock(mutex);
  const auto [entry, unknown] = known.try_emplace(shape, 0);
  if (unknown) entry->second = described(shape, Operands(shape)).scratchpad_desc().get_size();
  return entry->second;
}

}  // namespace shardlora::cpu
