// The fixed binary tree that a step's gradients are added in. Leaf i is micro-batch i's gradient; node (level, index)
// covers leaves [index << level, (index + 1) << level) and is the sum left + right. Which pairs are added follows from
// the leaves alone, so ranks that own any contiguous runs of leaves get the same bits together as one rank that owns
// all. At the right edge, where a sibling is missing, a node stands for its parent.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace shardlora {

struct TreeNode {
  int level = 0;
  std::int64_t index = 0;
  bool is_left_sibling_of(const TreeNode& other) const {
    return level == other.level && index % 2 == 0 && other.index == index + 1;
  }
  TreeNode parent() const { return {level + 1, index / 2}; }
  std::int64_t first_leaf() const { return index << level; }
  bool operator==(const TreeNode&) const = default;
};

// The sums that are finished so far, left to right, each in a slot until its sibling is there: then they are added.
// `add(to, from)` is called for every addition: slot `to` += slot `from`.
class GradientTree {
 public:
  using Add = std::function<void(std::size_t to, std::size_t from)>;
  struct Sum {
    TreeNode node;
    std::size_t slot;
  };

  // A node right of all others has been put into slot `depth()`. Where nodes come only so, slots are a binary counter.
  void push(TreeNode node, const Add& add) { insert(node, depth(), add); }
  // A node that belongs anywhere has been put into a slot of its own.
  void insert(TreeNode node, std::size_t slot, const Add& add);
  // All leaves of the step are in: folds what is left into the first sum's slot, which is returned.
  std::size_t fold(const Add& add);
  void clear() { sums_.clear(); }

  std::size_t depth() const { return sums_.size(); }
  std::vector<TreeNode> nodes() const;
  // Slots may be exchanged for others between calls.
  std::vector<Sum>& sums() { return sums_; }

 private:
  std::vector<Sum> sums_;
};

// The nodes that are left after pushing leaves [begin, end): its complete subtrees, at most 2 log2(end) of them.
std::vector<TreeNode> complete_subtrees(std::int64_t begin, std::int64_t end);
// Slots that pushing leaves [begin, end) one by one takes at most.
std::size_t slots_needed(std::int64_t begin, std::int64_t end);

// Rank r owns micro-batches [cuts[r], cuts[r + 1]): contiguous runs, as even as can be.
std::vector<std::int64_t> deal_micro_batches(std::int64_t micro_batches, int ranks);

// How a step is visited: every rank takes `size` of its micro-batches at a time, or what it has left, be it nothing.
struct Waves {
  std::vector<std::int64_t> cuts;  // of all ranks, as dealt
  std::int64_t size = 1;

  std::int64_t count() const;
  // Micro-batches [first, second) of the step.
  std::pair<std::int64_t, std::int64_t> of_rank(std::size_t rank, std::int64_t wave) const;
};

}  // namespace shardlora
