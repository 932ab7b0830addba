#include "models/visits.h"

namespace shardlora {

std::vector<std::size_t> forward_visits(const ModelSpec& model) {
  std::vector<std::size_t> order{model.embedding_unit()};
  for (std::int64_t l = 0; l < model.config().layers; ++l) order.push_back(model.layer_unit(l));
  order.push_back(model.head_unit());
  return order;
}

std::vector<std::size_t> training_visits(const ModelSpec& model) {
  std::vector<std::size_t> order = forward_visits(model);
  for (std::int64_t l = model.config().layers - 1; l >= 0; --l) order.push_back(model.layer_unit(l));
  if (model.embedding_trains()) order.push_back(model.embedding_unit());
  return order;
}

}  // namespace shardlora
