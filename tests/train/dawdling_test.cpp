// The same on the CPU, whose streams can be told to dawdle: a card's take the time that they take.
#include "covering.h"

namespace shardlora {
namespace {

TEST(DawdlingStreams, GiveTheSameBitsHoweverAModelRestsAndComputes) {
  expect_same_bits({.steps = 2, .micro_batches = 3}, {StreamMode::kDelayed});
}

}  // namespace
}  // namespace shardlora
