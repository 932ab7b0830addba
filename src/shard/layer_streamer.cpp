#include "shard/layer_streamer.h"

#include <algorithm>

#include "backend/host_ops.h"
#include "shard/finish_quietly.h"

namespace shardlora {
namespace {

// Weights that have to be decoded before layers can compute with them. Norm weights stay f32.
bool needs_decoding(const ParamSpec& param, DType compute) {
  if (param.trainable) return false;
  return !param.format.dense() || (param.shape.rank() > 1 && dtype_of(param.format.codec) != compute);
}

// Room that decoding a unit takes.
std::size_t decoded_bytes(const UnitSpec& unit, const StreamerOptions& options) {
  std::size_t all = 0, largest = 0;
  for (const ParamSpec& param : unit.params) {
    if (!needs_decoding(param, options.dtype)) continue;
    const std::size_t bytes = whole_pages(static_cast<std::size_t>(param.shape.numel()) * size_of(options.dtype));
    all += bytes;
    largest = std::max(largest, bytes);
  }
  return options.decode == Decode::kUnit ? all : largest;
}

}  // namespace

Lease::~Lease() {
  if (streamer_ != nullptr) streamer_->release();
}

UnitView Lease::view() const { return streamer_->view({}); }

UnitView Lease::training_view() {
  LayerStreamer& s = *streamer_;
  s.grads_ = s.store_.layout(unit_).trainable_views(s.reducer_->leaf(unit_));
  return s.view(s.grads_);
}

void Lease::add_leaf(std::int64_t leaf) { streamer_->reducer_->push(unit_, leaf); }

LayerStreamer::LayerStreamer(Device& device, ParamStore& store, Communicator& gathers, GradientReducer* reducer,
                             std::vector<std::vector<std::size_t>> schedules, const StreamerOptions& options)
    : device_(device),
      store_(store),
      gathers_(gathers),
      reducer_(reducer),
      options_(options),
      schedules_(std::move(schedules)) {
  std::size_t neighbours = 0, dense = 0;
  for (const auto& visits : schedules_) {
    for (std::size_t i = 0; i < visits.size(); ++i)
      neighbours = std::max(neighbours, slot_bytes(visits[i]) + (i > 0 ? slot_bytes(visits[i - 1]) : 0));
  }
  for (std::size_t u = 0; u < store.units(); ++u)
    dense = std::max(dense, decoded_bytes(store.layout(u).spec(), options));
  memory_ = device.allocate(neighbours, Tier::kDevice, Purpose::kStreaming);
  dense_ = device.allocate(dense, Tier::kDevice, Purpose::kStreaming);
  std::size_t rounded = 0;
  for (std::size_t u = 0; u < store.units(); ++u)
    if (store.residence(u).masters != Tier::kDevice) rounded = std::max(rounded, trainable_share(u));
  if (rounded > 0) {
    rounded_ = device.allocate(rounded, Tier::kPinned, Purpose::kStreaming);
    masters_ = device.make_stream("masters");
  }
  const auto rests_on = [&](Tier tier) {
    for (std::size_t u = 0; u < store.units(); ++u)
      if (store.tier(u) == tier) return true;
    return false;
  };
  if (rests_on(Tier::kPinned) || rests_on(Tier::kDisk)) uploads_ = device.make_stream("uploads");
  if (!rests_on(Tier::kDisk)) return;
  reads_ = device.make_stream("reads");
  if (!device.host_reads()) staging_ = device.allocate(2 * options_.staged_block, Tier::kPinned, Purpose::kStreaming);
}

LayerStreamer::~LayerStreamer() {
  const bool under_way = std::any_of(std::begin(slots_), std::end(slots_), [](const Slot& slot) {
    return slot.gathered.stream != nullptr || slot.trainable.stream != nullptr;
  });
  if (under_way && std::uncaught_exceptions() > unwinding_at_start_) gathers_.abort();  // peers may never come
  for (const Slot& slot : slots_) {
    finish_quietly(gathers_, slot.gathered);
    if (gathers_.size() > 1) finish_quietly(gathers_, slot.trainable);
  }
  for (Stream* const stream : {reads_.get(), uploads_.get(), masters_.get()})
    if (stream != nullptr) finish_quietly(*stream);
  finish_quietly(device_.compute());  // the last lease's readers, and the poison behind them
}

void LayerStreamer::run(std::size_t schedule) {
  CHECK(!leased_, "a schedule was started during a lease");
  schedule_ = schedule;
  cursor_ = 0;
  for (Slot& slot : slots_) {
    // What is still on its way to the slot has to land before the slot is used again.
    wait_for(slot);
    slot = Slot{};
    slot.released = device_.compute().record();
  }
}

std::size_t LayerStreamer::frozen_slot_bytes(std::size_t unit) const {
  if (store_.in_place(unit)) return 0;
  return store_.whole(unit) ? store_.layout(unit).frozen_bytes()
                            : static_cast<std::size_t>(gathers_.size()) * store_.frozen_share(unit);
}

std::size_t LayerStreamer::trainable_share(std::size_t unit) const {
  return store_.element_share(unit) * size_of(options_.dtype);
}

std::size_t LayerStreamer::slot_bytes(std::size_t unit) const {
  return whole_pages(frozen_slot_bytes(unit)) +
         whole_pages(static_cast<std::size_t>(gathers_.size()) * trainable_share(unit));
}

bool LayerStreamer::fits_beside(const Slot& slot, std::size_t unit) const {
  return slot.bytes + slot_bytes(unit) <= memory_.bytes();
}

void LayerStreamer::fetch_frozen(Slot& slot, std::size_t unit) {
  Slot& other = &slot == &slots_[0] ? slots_[1] : slots_[0];
  if (!fits_beside(other, unit)) {  // it lies in the way, and its lease was the last one
    CHECK(!leased_, "unit {} is fetched over the unit that is leased", unit);
    other.unit.reset();
    other.bytes = 0;
    slot.released = other.released;
  }
  slot.unit = unit;
  slot.bytes = slot_bytes(unit);
  slot.data = &slot == &slots_[0] ? memory_.data() : memory_.data() + memory_.bytes() - slot_bytes(unit);
  slot.trainable_current = false;
  slot.read = slot.uploaded = slot.gathered = {};
  if (store_.in_place(unit)) return;
  const bool gather = !store_.whole(unit);
  const std::size_t share = store_.frozen_share(unit);
  std::byte* const mine = slot.data + (gather ? static_cast<std::size_t>(gathers_.rank()) * share : 0);
  const std::byte* from = mine;
  Event there = slot.released;
  switch (store_.tier(unit)) {
    case Tier::kDevice: from = store_.frozen(unit); break;
    case Tier::kPinned: there = slot.uploaded = upload(mine, unit, there); break;
    case Tier::kDisk: there = read(slot, mine, unit); break;
  }
  if (gather) slot.gathered = gathers_.all_gather(slot.data, from, share, there);
}

Event LayerStreamer::upload(std::byte* to, std::size_t unit, Event after) {
  const auto [begin, end] = store_.resting(unit);
  uploads_->wait(after);
  return copy(to, store_.frozen(unit), end - begin, unit);
}

Event LayerStreamer::copy(std::byte* to, const std::byte* from, std::size_t bytes, std::size_t unit) {
  const Timeline::Mark mark = device_.timeline().begin(*uploads_, "uploads", store_.layout(unit).spec().name);
  device_.copy(to, from, bytes, *uploads_);
  device_.timeline().end(*uploads_, mark);
  return uploads_->record();
}

Event LayerStreamer::read(Slot& slot, std::byte* to, std::size_t unit) {
  const auto [begin, end] = store_.resting(unit);
  if (staging_.bytes() == 0) {
    reads_->wait(slot.released);
    return slot.read = read_into(to, unit, begin, end - begin);
  }
  Event there = slot.released;  // where this rank's share is empty
  uploads_->wait(slot.released);
  for (std::size_t at = begin, i = 0; at < end; at += options_.staged_block, ++i) {
    const std::size_t bytes = std::min(options_.staged_block, end - at);
    std::byte* const block = staging_.data() + (i % 2) * options_.staged_block;
    reads_->wait(staged_[i % 2]);
    slot.read = read_into(block, unit, at, bytes);
    uploads_->wait(slot.read);
    there = slot.uploaded = staged_[i % 2] = copy(to + (at - begin), block, bytes, unit);
  }
  return there;
}

Event LayerStreamer::read_into(std::byte* to, std::size_t unit, std::size_t begin, std::size_t bytes) {
  const Timeline::Mark mark = device_.timeline().begin(*reads_, "reads", store_.layout(unit).spec().name);
  reads_->submit([&store = store_, unit, to, begin, bytes] { store.read(unit, begin, {to, bytes}); });
  device_.timeline().end(*reads_, mark);
  return reads_->record();
}

void LayerStreamer::wait_for(const Slot& slot) {
  Timeline& timeline = device_.timeline();
  timeline.wait(device_.compute(), slot.read, Hop::kRead);
  timeline.wait(device_.compute(), slot.uploaded, Hop::kUpload);
  timeline.wait(device_.compute(), slot.gathered, Hop::kGather);
  timeline.wait(device_.compute(), slot.trainable, gathers_.size() == 1 ? Hop::kUpload : Hop::kGather);
}

void LayerStreamer::finish_reads() {
  if (!reads_) return;
  device_.timeline().wait(device_.compute(), reads_->record(), Hop::kRead);
  reads_->synchronize();
}

void LayerStreamer::check() {
  gathers_.synchronize({});
  for (Stream* const stream : {reads_.get(), uploads_.get(), masters_.get()})
    if (stream != nullptr) stream->throw_failure();
}

void LayerStreamer::fetch_trainable(Slot& slot) {
  slot.trainable_current = true;
  const std::size_t unit = *slot.unit, share = trainable_share(unit);
  if (store_.layout(unit).trainable_elements() == 0) return;
  // Every rank rounds its masters to the compute dtype in place, then the rounded values travel.
  std::byte* const out = slot.data + whole_pages(frozen_slot_bytes(unit));
  std::byte* const mine = out + static_cast<std::size_t>(gathers_.rank()) * share;
  const Event there = round_masters(mine, unit, slot.released);
  slot.trainable = gathers_.size() == 1 ? there : gathers_.all_gather(out, mine, share, there);
}

Event LayerStreamer::round_masters(std::byte* to, std::size_t unit, Event after) {
  const Tensor master = store_.trainable(unit).master;
  if (store_.residence(unit).masters == Tier::kDevice) {
    device_.ops().cast({to, options_.dtype, master.shape}, master);
    return device_.compute().record();
  }
  CHECK(store_.residence(unit).masters == Tier::kPinned, "masters of unit {} rest in no memory", unit);
  const Tensor rounded = rounded_.tensor(options_.dtype, master.shape);
  masters_->wait(store_.updated(unit));
  const Timeline::Mark mark = device_.timeline().begin(*masters_, "masters", store_.layout(unit).spec().name);
  HostOps(device_, *masters_).cast(rounded, master);
  masters_->wait(after);
  device_.copy(to, rounded.data, rounded.bytes(), *masters_);
  device_.timeline().end(*masters_, mark);
  return masters_->record();
}

// Fetches what the schedule visits after the current unit into the other slot, unless it is there already.
void LayerStreamer::prefetch() {
  const std::size_t unit = *slots_[current_].unit;
  std::size_t visit = cursor_;
  while (visit < schedule().size() && schedule()[visit] == unit) ++visit;
  const bool wraps = visit >= schedule().size();
  const std::size_t next = schedule()[wraps ? 0 : visit];
  if (next == unit || (wraps && !fits_beside(slots_[current_], next))) return;
  Slot& other = slots_[1 - current_];
  if (other.unit != next) fetch_frozen(other, next);
  if (!wraps && !other.trainable_current) fetch_trainable(other);
}

Lease LayerStreamer::borrow(std::size_t unit) {
  CHECK(!leased_, "unit {} is borrowed before the last lease ended", unit);
  CHECK(schedule()[cursor_] == unit, "unit {} is borrowed, the schedule has {}", unit, schedule()[cursor_]);
  if (cursor_ == 0)  // the optimiser has run since these were gathered
    for (Slot& slot : slots_) slot.trainable_current = false;

  if (slots_[current_].unit != unit) current_ = 1 - current_;
  Slot& slot = slots_[current_];
  if (slot.unit != unit) fetch_frozen(slot, unit);
  if (!slot.trainable_current) fetch_trainable(slot);
  leased_ = true;
  ++cursor_;
  if (options_.prefetch == Prefetch::kYes) prefetch();

  wait_for(slot);
  computing_ = device_.timeline().begin(device_.compute(), "compute", store_.layout(unit).spec().name);
  make_views(slot);
  if (cursor_ == schedule().size()) cursor_ = 0;
  return {this, unit};
}

void LayerStreamer::make_views(const Slot& slot) {
  const std::size_t unit = viewed_ = *slot.unit;
  const UnitLayout& layout = store_.layout(unit);
  const std::byte* frozen = store_.in_place(unit) ? store_.frozen(unit) : slot.data;
  params_ = layout.views(frozen, slot.data + whole_pages(frozen_slot_bytes(unit)), options_.dtype);
  if (options_.decode == Decode::kMatrix) return;
  const bool known = decoded_ == unit;
  std::size_t offset = 0;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (!needs_decoding(layout.spec().params[i], options_.dtype)) continue;
    const Tensor dense = dense_.tensor(options_.dtype, params_[i].shape, offset);
    if (!known) device_.ops().dequantize(dense, params_[i]);
    params_[i] = {dense_format(options_.dtype), dense.shape, {dense.data}};
    offset += whole_pages(dense.bytes());
  }
  if (offset > 0) decoded_ = unit;
}

ConstTensor LayerStreamer::dense(std::size_t param) {
  if (!needs_decoding(store_.layout(viewed_).spec().params[param], options_.dtype)) return params_[param].dense();
  const Tensor dense = dense_.tensor(options_.dtype, params_[param].shape);
  device_.ops().dequantize(dense, params_[param]);
  return dense;
}

UnitView LayerStreamer::view(std::span<const Tensor> grads) {
  return {viewed_, params_, grads, options_.decode == Decode::kMatrix ? this : nullptr};
}

UnitView LayerStreamer::shape_of(std::size_t unit) {
  CHECK(!leased_, "unit {} is looked at during a lease", unit);
  make_views({.unit = unit, .data = memory_.data()});
  decoded_.reset();
  grads_.clear();
  if (reducer_ != nullptr) grads_ = store_.layout(unit).trainable_views(reducer_->leaf(unit));
  return view(grads_);
}

void LayerStreamer::reduce(Lease lease, GradientPart part) { reducer_->reduce(lease.unit(), part); }

void LayerStreamer::release() {
  leased_ = false;
  Slot& slot = slots_[current_];
  if (!keeps_slot(schedule(), cursor_ + schedule().size() - 1)) {
    if (options_.poison == Poison::kYes) {
      device_.poison(slot.data, slot_bytes(*slot.unit), device_.compute());
      if (decoded_ == slot.unit || options_.decode == Decode::kMatrix)
        device_.poison(dense_.data(), dense_.bytes(), device_.compute());
    }
    if (decoded_ == slot.unit) decoded_.reset();
    slot.unit.reset();
  }
  device_.timeline().end(device_.compute(), computing_);
  slot.released = device_.compute().record();
}

}  // namespace shardlora
