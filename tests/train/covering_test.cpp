// As deep as the largest models, in every pair of ways to rest and to compute: the bits of one plain run.
#include "covering.h"

namespace shardlora {
namespace {

TEST(CoveringArray, HoldsEveryPairOfLevels) {
  for (const Levels& counts : {Levels{2, 2}, Levels{4, 2, 4, 3, 2, 2, 2, 2, 1}, Levels{1, 3, 1}, Levels{4, 4, 4}}) {
    const std::vector<Levels> rows = covering_array(counts);
    for (std::size_t a = 0; a < counts.size(); ++a)
      for (std::size_t b = a + 1; b < counts.size(); ++b)
        for (std::size_t i = 0; i < counts[a]; ++i)
          for (std::size_t j = 0; j < counts[b]; ++j)
            EXPECT_TRUE(std::any_of(rows.begin(), rows.end(), [&](const Levels& r) { return r[a] == i && r[b] == j; }))
                << "axis " << a << " at " << i << ", axis " << b << " at " << j;
    Levels most = counts;
    std::sort(most.rbegin(), most.rend());
    EXPECT_LE(rows.size(), 2 * most[0] * most[1]);  // no fewer than that product, once, would do
  }
}

TEST(DeepModel, GivesTheSameBitsAndAllocatesNothingHoweverItRestsAndComputes) {
  expect_same_bits({.steps = 2, .layers = slow() ? 8 : 80, .micro_batches = 3, .lora_rank = 32},
                   {StreamMode::kInline, StreamMode::kQueued});
}

}  // namespace
}  // namespace shardlora
