// From a dtype known at run time to code written for one type.
#pragma once

#include <type_traits>
#include <utility>

#include "base/error.h"
#include "tensor/dtype.h"

namespace shardlora {

// body(std::type_identity<T>{}) with T float, BF16 or F16: the types that kernels compute in.
template <typename Body>
void with_float_type(DType dtype, Body&& body) {
  switch (dtype) {
    case DType::kF32: return std::forward<Body>(body)(std::type_identity<float>{});
    case DType::kBF16: return std::forward<Body>(body)(std::type_identity<BF16>{});
    case DType::kF16: return std::forward<Body>(body)(std::type_identity<F16>{});
    default: CHECK(false, "kernels take f32, bf16 and f16, not {}", name_of(dtype));
  }
}

}  // namespace shardlora
