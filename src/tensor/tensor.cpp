#include "tensor/tensor.h"

namespace shardlora {

std::string Shape::text() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", (*this)[i]);
  return text + ")";
}

}  // namespace shardlora
