#include "shard/kept_parameters.h"

namespace shardlora {

KeptParameters::KeptParameters(Device& device, ParamStore& store) : store_(store) {
  std::size_t bytes = 0;
  for (std::size_t u = 0; u < store.units(); ++u) bytes += store.trainable(u).master.bytes();
  copy_ = device.allocate(bytes, Tier::kPinned, Purpose::kTrainable);
}

void KeptParameters::keep() {
  std::byte* to = copy_.data();
  for (std::size_t u = 0; u < store_.units(); ++u) {
    store_.read_masters(u, to);
    to += store_.trainable(u).master.bytes();
  }
}

void KeptParameters::restore() {
  const std::byte* from = copy_.data();
  for (std::size_t u = 0; u < store_.units(); ++u) {
    store_.write_masters(u, from);
    from += store_.trainable(u).master.bytes();
  }
}

}  // namespace shardlora
