// The references' own backwards against central differences of their forwards, in double.
#include <gtest/gtest.h>

#include "backend/naive.h"

namespace shardlora {
namespace {

TEST(Naive, AttentionBackwardIsTheDerivativeOfTheForward) {
  const naive::AttentionShape s{{0, 1, 4, 9}, 6, 2, 8, 0.35};
  Doubles q = random_values(9 * 6 * 8, 1), k = random_values(9 * 2 * 8, 2), v = random_values(9 * 2 * 8, 3);
  const Doubles d_o = random_values(9 * 6 * 8, 4);
  const auto loss = [&] { return naive::dot(d_o, naive::attention(q, k, v, s).o); };
  const auto got = naive::attention_backward(d_o, naive::attention(q, k, v, s).o, q, k, v, s);
  const auto allowed = [](std::size_t) { return 1e-7; };  // step^2 and the cancellation of sums of some 400 terms
  EXPECT_LE(worst(got.dq, naive::differences(q, loss), allowed), 1.0);
  EXPECT_LE(worst(got.dk, naive::differences(k, loss), allowed), 1.0);
  EXPECT_LE(worst(got.dv, naive::differences(v, loss), allowed), 1.0);
}

}  // namespace
}  // namespace shardlora
