#include "optim/adamw.h"

#include <gtest/gtest.h>

namespace shardlora {
namespace {

// 1 - 0.999F is 0.00099998713F: with it v would be 1.3e-5 smaller than with torch's betas, which are doubles.
TEST(AdamW, RoundsOneMinusBetaLastAsTorchDoes) {
  float value = 0, m = 0, v = 0;
  adamw(value, m, v, 1.0F, adamw_step({}, 1e-2, 1));
  EXPECT_EQ(m, 0.1F);
  EXPECT_EQ(v, 0.001F);
}

}  // namespace
}  // namespace shardlora
