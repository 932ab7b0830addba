// What is shared out, put together on every rank.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shard/param_store.h"

namespace shardlora {

// A unit's masters or gradients. Collective.
inline std::vector<float> gathered(Device& device, const ParamStore& store, std::size_t unit,
                                   Tensor TrainableShare::* part, Communicator& comm) {
  std::vector<float> elements(static_cast<std::size_t>(store.layout(unit).trainable_elements()));
  const std::size_t share = store.element_share(unit) * sizeof(float);
  if (elements.empty()) return elements;
  const Buffer all = device.allocate(static_cast<std::size_t>(comm.size()) * share, Tier::kDevice, Purpose::kWorkspace);
  const TrainableShare trainable = store.trainable(unit);
  const Tensor resting = trainable.*part;
  std::byte* const mine = all.data() + static_cast<std::size_t>(comm.rank()) * share;
  if (store.uses_host()) device.compute().wait(store.host().record());
  device.copy(mine, resting.data, resting.bytes(), device.compute());
  comm.synchronize(comm.all_gather(all.data(), mine, share, device.compute().record()));
  device.copy(reinterpret_cast<std::byte*>(elements.data()), all.data(), elements.size() * sizeof(float),
              device.compute());
  device.compute().synchronize();
  return elements;
}

// Those of all units, by parameter.
inline std::map<std::string, std::vector<float>> gathered_by_param(Device& device, const ParamStore& store,
                                                                   Tensor TrainableShare::* part, Communicator& comm) {
  std::map<std::string, std::vector<float>> all;
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitLayout& layout = store.layout(u);
    const std::vector<float> elements = gathered(device, store, u, part, comm);
    for (std::size_t p = 0; p < layout.spec().params.size(); ++p) {
      const ParamSpec& param = layout.spec().params[p];
      if (!param.trainable) continue;
      const auto begin = elements.begin() + layout.element_offset(p);
      std::vector<float>& whole = all[param.name];  // of slices the later ones come behind the earlier ones
      whole.insert(whole.end(), begin, begin + param.shape.numel());
    }
  }
  return all;
}

}  // namespace shardlora
