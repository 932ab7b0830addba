#include "shard/gradient_tree.h"

#include <gtest/gtest.h>

#include <string>

namespace shardlora {
namespace {

// Adds symbolically: the result is the whole expression, so a different order of additions is a different string.
std::string sum_of(std::int64_t leaves, int ranks) {
  const std::vector<std::int64_t> cuts = deal_micro_batches(leaves, ranks);
  std::vector<std::string> arrived;
  GradientTree all;
  const auto adder = [](std::vector<std::string>& slots) {
    return [&slots](std::size_t to, std::size_t from) {
      slots[to] = "(" + slots[to] + "+" + slots[from] + ")";
      slots.resize(from);
    };
  };
  for (std::size_t r = 0; r + 1 < cuts.size(); ++r) {
    std::vector<std::string> slots;
    GradientTree own;
    for (std::int64_t leaf = cuts[r]; leaf < cuts[r + 1]; ++leaf) {
      slots.push_back(std::to_string(leaf));
      own.push({0, leaf}, adder(slots));
    }
    for (std::size_t n = 0; n < own.nodes().size(); ++n) {
      arrived.push_back(slots[n]);
      all.push(own.nodes()[n], adder(arrived));
    }
  }
  all.fold(adder(arrived));
  return arrived.at(0);
}

TEST(GradientTree, AddsInOneOrderHoweverLeavesAreDealt) {
  for (std::int64_t leaves = 1; leaves <= 40; ++leaves)
    for (const int ranks : {2, 3, 4, 5, 8})
      EXPECT_EQ(sum_of(leaves, ranks), sum_of(leaves, 1)) << leaves << " leaves, " << ranks << " ranks";
}

TEST(GradientTree, IsTheBalancedTree) {
  EXPECT_EQ(sum_of(4, 1), "((0+1)+(2+3))");
  EXPECT_EQ(sum_of(7, 1), "(((0+1)+(2+3))+((4+5)+6))");
}

TEST(GradientTree, LeavesFewSubtreesAndTakesFewSlots) {
  for (std::int64_t begin = 0; begin < 64; ++begin) {
    for (std::int64_t end = begin + 1; end <= 64; ++end) {
      EXPECT_LE(complete_subtrees(begin, end).size(), 12U);
      EXPECT_LE(slots_needed(begin, end), 13U);
    }
  }
}

}  // namespace
}  // namespace shardlora
