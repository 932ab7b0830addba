#include "train/optimizer.h"

#include <utility>

#include "backend/host_ops.h"
#include "shard/finish_quietly.h"

namespace shardlora {
Optimizer::Optimizer(Device& device, ParamStore& store) : device_(device), store_(store) {
  std::size_t bytes = 0;
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitResidence& where = store.residence(u);
    const bool together = where.masters == where.state && where.gradients == where.state;
    CHECK(together && where.state != Tier::kDisk, "{}: an update needs masters, gradients and state in one memory",
          store.layout(u).spec().name);
    bytes += static_cast<std::size_t>(element_blocks(store.trainable(u).gradient.numel())) * sizeof(float);
  }
  if (store.uses_host()) squares_ = device.allocate(bytes, Tier::kPinned, Purpose::kCommunication);
}

Optimizer::~Optimizer() {
  if (store_.uses_host()) finish_quietly(store_.host());
}

void Optimizer::sum_squares(Tensor sums) {
  std::size_t at = 0;
  for (std::size_t u = 0; u < store_.units(); ++u) {
    const Tensor gradient = store_.trainable(u).gradient;
    if (gradient.numel() == 0) continue;
    const Tensor out{sums.data + at, DType::kF32, {element_blocks(gradient.numel())}};
    const std::size_t place = std::exchange(at, at + out.bytes());
    if (!on_host(u)) {
      device_.ops().sums_of_squares(out, gradient);
      continue;
    }
    const Tensor here = squares_.tensor(DType::kF32, out.shape, place);
    HostOps(device_, store_.host()).sums_of_squares(here, gradient);
    device_.timeline().wait(device_.compute(), store_.host().record(), Hop::kReduce);
    device_.copy(out.data, here.data, out.bytes(), device_.compute());
  }
}

void Optimizer::update(std::size_t unit, const AdamWStep& adamw, float gradient_scale) {
  const TrainableShare share = store_.trainable(unit);
  const std::int64_t n = share.master.numel();
  if (n == 0) return;
  static_assert(kStateTensors == 2);
  const Tensor m = share.state.rows(0, 1).view({n}), v = share.state.rows(1, 2).view({n});
  if (!on_host(unit)) return device_.ops().adamw(share.master, m, v, share.gradient, adamw, gradient_scale);
  Stream& host = store_.host();
  host.wait(device_.compute().record());  // which has waited for all that was made of these masters
  const Timeline::Mark mark = device_.timeline().begin(host, "host", store_.layout(unit).spec().name);
  HostOps(device_, host).adamw(share.master, m, v, share.gradient, adamw, gradient_scale);
  device_.timeline().end(host, mark);
  store_.set_updated(unit, host.record());
}

}  // namespace shardlora
