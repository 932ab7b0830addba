// From a dtype known at run time to code written for one type.
#pragma once

#include <type_traits>
#include <utility>

#include "base/error.h"
#include "tensor/dtype.h"

namespace shardlora::cpu {

// body(std::type_identity<float>{}) or body(std::type_identity<BF16>{}): the two types that kernels compute in.
template <typename Body>
void with_float_type(DType dtype, Body&& body) {
  DCHECK(dtype == DType::kF32 || dtype == DType::kBF16, "kernels take f32 and bf16, not {}", name_of(dtype));
  if (dtype == DType::kF32)
    std::forward<Body>(body)(std::type_identity<float>{});
  else
    std::forward<Body>(body)(std::type_identity<BF16>{});
}

// Fewer values than this are not worth waking other threads for.
inline constexpr std::int64_t kParallelValues = 16384;

}  // namespace shardlora::cpu
