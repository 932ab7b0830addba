#include "shard/gradient_tree.h"

#include <algorithm>
#include <iterator>

namespace shardlora {

void GradientTree::insert(TreeNode node, std::size_t slot, const Add& add) {
  const auto is_left = [](const Sum& sum, const TreeNode& of) { return sum.node.first_leaf() < of.first_leaf(); };
  auto at = sums_.insert(std::lower_bound(sums_.begin(), sums_.end(), node, is_left), {node, slot});
  for (;;) {
    if (at != sums_.begin() && std::prev(at)->node.is_left_sibling_of(at->node))
      --at;
    else if (std::next(at) == sums_.end() || !at->node.is_left_sibling_of(std::next(at)->node))
      return;
    add(at->slot, std::next(at)->slot);
    at->node = at->node.parent();
    at = std::prev(sums_.erase(std::next(at)));
  }
}

std::size_t GradientTree::fold(const Add& add) {
  for (; sums_.size() > 1; sums_.pop_back()) add(sums_[sums_.size() - 2].slot, sums_.back().slot);
  return sums_.at(0).slot;
}

std::vector<TreeNode> GradientTree::nodes() const {
  std::vector<TreeNode> nodes;
  for (const Sum& sum : sums_) nodes.push_back(sum.node);
  return nodes;
}

std::vector<TreeNode> complete_subtrees(std::int64_t begin, std::int64_t end) {
  GradientTree tree;
  for (std::int64_t leaf = begin; leaf < end; ++leaf) tree.push({0, leaf}, [](std::size_t, std::size_t) {});
  return tree.nodes();
}

std::size_t slots_needed(std::int64_t begin, std::int64_t end) {
  GradientTree tree;
  std::size_t most = 0;
  for (std::int64_t leaf = begin; leaf < end; ++leaf) {
    most = std::max(most, tree.depth() + 1);
    tree.push({0, leaf}, [](std::size_t, std::size_t) {});
  }
  return most;
}

std::vector<std::int64_t> deal_micro_batches(std::int64_t micro_batches, int ranks) {
  std::vector<std::int64_t> cuts;
  for (int r = 0; r <= ranks; ++r) cuts.push_back(micro_batches * r / ranks);
  return cuts;
}

std::int64_t Waves::count() const {
  std::int64_t most = 0;
  for (std::size_t r = 0; r + 1 < cuts.size(); ++r) most = std::max(most, cuts[r + 1] - cuts[r]);
  return (most + size - 1) / size;
}

std::pair<std::int64_t, std::int64_t> Waves::of_rank(std::size_t rank, std::int64_t wave) const {
  const std::int64_t begin = std::min(cuts[rank] + wave * size, cuts[rank + 1]);
  return {begin, std::min(begin + size, cuts[rank + 1])};
}

}  // namespace shardlora
