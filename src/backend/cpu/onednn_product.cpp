// oneDNN's matmul. Everything that differs between its versions 2 and 3 is in this file.
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>

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

dnnl::memory::data_type data_type(DType dtype) {
  return dtype == DType::kBF16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

class OneDnnProduct final : public BlockProduct {
 public:
  explicit OneDnnProduct(const BlockShape& s)
      : a_({s.m, s.k}, data_type(s.in), {s.a_row, s.a_column}),
        b_({s.k, s.n}, data_type(s.in), {s.b_row, s.b_column}),
        y_({s.m, s.n}, data_type(s.out), {s.y_row, 1}) {
    const OneThread one_thread;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (s.accumulate == Accumulate::kYes) {
      dnnl::post_ops sum;
      sum.append_sum(1.0F);
      attributes.set_post_ops(sum);
    }
    const auto description = describe<dnnl::matmul>(a_, b_, y_, attributes);
    scratchpad_ = description.scratchpad_desc();
    primitive_ = dnnl::matmul(description);
  }

  std::size_t scratch_bytes() const override { return scratchpad_.get_size(); }

  void run(std::byte* y, const std::byte* a, const std::byte* b, std::byte* scratch) const override {
    thread_local dnnl::stream stream(engine());
    const auto memory = [](const dnnl::memory::desc& desc, const std::byte* data) {
      return dnnl::memory(desc, engine(), const_cast<std::byte*>(data));
    };
    primitive_.execute(stream, {{DNNL_ARG_SRC, memory(a_, a)},
                                {DNNL_ARG_WEIGHTS, memory(b_, b)},
                                {DNNL_ARG_DST, memory(y_, y)},
                                {DNNL_ARG_SCRATCHPAD, memory(scratchpad_, scratch)}});
  }

 private:
  dnnl::memory::desc a_, b_, y_, scratchpad_;
  dnnl::matmul primitive_;
};

}  // namespace

std::unique_ptr<BlockProduct> make_block_product(const BlockShape& shape) {
  try {
    return std::make_unique<OneDnnProduct>(shape);
  } catch (const dnnl::error& error) {
    fail(
        "oneDNN cannot multiply {} matrices of {} x {} x {} on this CPU ({}); set bf16: false, or install a newer "
        "oneDNN",
        name_of(shape.in), shape.m, shape.k, shape.n, error.what());
  }
}

}  // namespace shardlora::cpu
