// The fixed binary tree that a step's gradients are added in. Leaf i is micro-batch i's gradient; node (level, index)
// covers leaves [index << level, (index + 1) << level) and is the sum left + right. Which pairs are added follows from
// the leaves alone, so ranks that own any contiguous runs of leaves get the same bits together as one rank that owns
// all. At the right edge, where a sibling is missing, a node stands for its parent.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace shardlora {

struct TreeNode {
  int level = 0;
  std::int64_t index = 0;
  bool is_left_sibling_of(const TreeNode& other) const {
    return level == other.level && index % 2 == 0 && other.index == index + 1;
  }
  TreeNode parent() const { return {level + 1, index / 2}; }
  bool operator==(const TreeNode&) const = default;
};

// The sums that are finished so far, left to right, kept like a binary counter: a sum waits in its slot for its
// sibling. `add(to, from)` is called for every addition: slot `to` += slot `from`.
class GradientTree {
 public:
  using Add = std::function<void(std::size_t to, std::size_t from)>;

  // The next node has been put into slot `depth()`.
  void push(TreeNode node, const Add& add);
  // All leaves of the step are in: folds what is left into slot 0.
  void fold(const Add& add);
  void clear() { nodes_.clear(); }

  std::size_t depth() const { return nodes_.size(); }
  const std::vector<TreeNode>& nodes() const { return nodes_; }

 private:
  std::vector<TreeNode> nodes_;
};

// The nodes that are left after pushing leaves [begin, end): its complete subtrees, at most 2 log2(end) of them.
std::vector<TreeNode> complete_subtrees(std::int64_t begin, std::int64_t end);
// Slots that pushing leaves [begin, end) one by one takes at most.
std::size_t slots_needed(std::int64_t begin, std::int64_t end);

// Rank r owns micro-batches [cuts[r], cuts[r + 1]): contiguous runs, as even as can be.
std::vector<std::int64_t> deal_micro_batches(std::int64_t micro_batches, int ranks);

}  // namespace shardlora
