#include "shard/kept_parameters.h"

namespace shardlora {

KeptParameters::KeptParameters(Device& device, const ParamStore& store) : device_(device), store_(store) {
  std::size_t bytes = 0;
  for (std::size_t u = 0; u < store.units(); ++u) bytes += store.trainable(u).master.bytes();
  copy_ = device.allocate(bytes, Tier::kPinned, Purpose::kTrainable);
}

void KeptParameters::keep() {
  std::byte* to = copy_.data();
  for (std::size_t u = 0; u < store_.units(); ++u) {
    const Tensor master = store_.trainable(u).master;
    device_.copy(to, master.data, master.bytes(), device_.compute());
    to += master.bytes();
  }
  device_.compute().synchronize();
}

void KeptParameters::restore() {
  const std::byte* from = copy_.data();
  for (std::size_t u = 0; u < store_.units(); ++u) {
    const Tensor master = store_.trainable(u).master;
    device_.copy(master.data, from, master.bytes(), device_.compute());
    from += master.bytes();
  }
  device_.compute().synchronize();
}

}  // namespace shardlora
