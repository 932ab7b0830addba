#include "models/config.h"

#include "base/error.h"

namespace shardlora {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 24;   // of any width: products of two stay in 64 bits
constexpr std::int64_t kLargestHead = 256, kHeadStep = 8;  // of the attention kernels

}  // namespace

void check(const ModelConfig& c, const std::string& what) {
  for (const auto& [name, value] :
       {std::pair{"vocabulary", c.vocab}, std::pair{"hidden width", c.hidden}, std::pair{"MLP width", c.intermediate},
        std::pair{"number of layers", c.layers}, std::pair{"number of attention heads", c.heads},
        std::pair{"number of key heads", c.kv_heads}, std::pair{"head size", c.head_dim}}) {
    if (value < 1 || value > kLargest)
      fail("{}: a {} of {}; it has to be between 1 and {}. The file is garbled", what, name, value, kLargest);
  }
  if (c.heads % c.kv_heads != 0)
    fail("{}: {} attention heads cannot share {} key heads; the file is garbled", what, c.heads, c.kv_heads);
  if (c.head_dim % kHeadStep != 0 || c.head_dim > kLargestHead)
    fail("{}: heads of {} values are not supported; this version computes multiples of {} up to {}", what, c.head_dim,
         kHeadStep, kLargestHead);
  if (!(c.norm_eps > 0)) fail("{}: an epsilon of {} in the norms; it has to be positive", what, c.norm_eps);
}

void check_window(const ModelConfig& config, std::int64_t length, const std::string& what) {
  if (config.sliding_window == 0 || length <= config.sliding_window) return;
  fail(
      "{} is {}, but this model attends to the last {} tokens only, and this version computes sliding windows only for "
      "rows that fit into one; make it {} or less",
      what, length, config.sliding_window, config.sliding_window);
}

}  // namespace shardlora
