#include "models/visits.h"

namespace shardlora {

std::vector<std::size_t> forward_visits(const ModelSpec& model) {
  std::vector<std::size_t> order;
  for (std::size_t s = 0; s < model.slices(); ++s) order.push_back(model.embedding_unit(s));
  for (std::int64_t l = 0; l < model.config().layers; ++l) order.push_back(model.layer_unit(l));
  for (std::size_t s = 0; s < model.slices(); ++s) order.push_back(model.head_unit(s));
  return order;
}

std::vector<std::size_t> training_visits(const ModelSpec& model) {
  std::vector<std::size_t> order = forward_visits(model);
  for (std::size_t s = model.slices() - 1; s-- > 0;) order.push_back(model.head_unit(s));
  for (std::int64_t l = model.config().layers - 1; l >= 0; --l) order.push_back(model.layer_unit(l));
  if (model.embedding_trains())
    for (std::size_t s = model.slices(); s-- > 0;) order.push_back(model.embedding_unit(s));
  return order;
}

}  // namespace shardlora
