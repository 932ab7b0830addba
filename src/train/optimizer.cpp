#include "train/optimizer.h"

#include "backend/host_ops.h"
#include "shard/finish_quietly.h"

namespace shardlora {
namespace {

std::size_t bytes_of_squares(const ParamStore& store, std::size_t unit) {
  const std::int64_t n = store.trainable(unit).gradient.numel();
  return static_cast<std::size_t>((n + kElementBlock - 1) / kElementBlock) * sizeof(float);
}

}  // namespace

Optimizer::Optimizer(Device& device, ParamStore& store) : device_(device), store_(store) {
  std::size_t bytes = 0;
  for (std::size_t u = 0; u < store.units(); ++u) {
    const UnitResidence& where = store.residence(u);
    const bool together = where.masters == where.state && where.gradients == where.state;
    CHECK(together && where.state != Tier::kDisk, "{}: an update needs masters, gradients and state in one memory",
          store.layout(u).spec().name);
    squares_at_.push_back(bytes);
    if (on_host(u)) bytes += bytes_of_squares(store, u);
  }
  squares_ = device.allocate(bytes, Tier::kPinned, Purpose::kCommunication);
}

Optimizer::~Optimizer() {
  if (store_.uses_host()) finish_quietly(store_.host());
}

void Optimizer::sum_squares(std::size_t unit, Tensor sums) {
  const Tensor gradient = store_.trainable(unit).gradient;
  if (!on_host(unit)) return device_.ops().sums_of_squares(sums, gradient);
  const Tensor on_host = squares_.tensor(DType::kF32, sums.shape, squares_at_[unit]);
  HostOps(device_, store_.host()).sums_of_squares(on_host, gradient);
  device_.timeline().wait(device_.compute(), store_.host().record(), Hop::kReduce);
  device_.copy(sums.data, on_host.data, sums.bytes(), device_.compute());
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
