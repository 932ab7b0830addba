#include "shard/gradient_tree.h"

#include <algorithm>

namespace shardlora {

void GradientTree::push(TreeNode node, const Add& add) {
  nodes_.push_back(node);
  while (nodes_.size() > 1 && nodes_[nodes_.size() - 2].is_left_sibling_of(nodes_.back())) {
    add(nodes_.size() - 2, nodes_.size() - 1);
    nodes_.pop_back();
    nodes_.back() = nodes_.back().parent();
  }
}

void GradientTree::fold(const Add& add) {
  while (nodes_.size() > 1) {
    add(nodes_.size() - 2, nodes_.size() - 1);
    nodes_.pop_back();
  }
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

}  // namespace shardlora
