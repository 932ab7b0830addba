#include "train/step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/visits.h"

namespace shardlora {
namespace {

constexpr float kNoGradient = 0;

std::int64_t most_owned(std::int64_t micro_batches, int ranks) { return (micro_batches + ranks - 1) / ranks; }

// Blocks of `unit` that rank r owns: each has one sum of squares.
std::size_t blocks_of(const ParamStore& store, std::size_t unit, std::size_t rank) {
  const auto& cuts = store.element_cuts(unit);
  return static_cast<std::size_t>(element_blocks(static_cast<std::int64_t>(cuts[rank + 1] - cuts[rank])));
}

// Of all units, by rank.
std::vector<std::size_t> blocks_of(const ParamStore& store, int ranks) {
  std::vector<std::size_t> counts(static_cast<std::size_t>(ranks));
  for (std::size_t r = 0; r < counts.size(); ++r)
    for (std::size_t u = 0; u < store.units(); ++u) counts[r] += blocks_of(store, u, r);
  return counts;
}

std::vector<std::size_t> units_with_two_parts(const ModelSpec& model) {
  std::vector<std::size_t> units;
  if (model.config().tied_embeddings && model.embedding_trains())
    for (std::size_t s = 0; s < model.slices(); ++s) units.push_back(model.embedding_unit(s));
  return units;
}

}  // namespace

StepTraffic traffic_of(const ParamStore& store, const StepLimits& limits, int ranks) {
  StepTraffic traffic{.gathered = StepReport::largest_part(limits.micro_batches, limits.rows, blocks_of(store, ranks))};
  for (std::int64_t wave = most_owned(limits.micro_batches, ranks);; wave = smaller_wave(wave)) {
    traffic.sent = std::max(traffic.sent, GradientReducer::largest_message(store, limits.micro_batches, wave, ranks));
    if (wave == 1) return traffic;
  }
}

namespace {

// Of a layer's activations for one micro-batch.
std::size_t kept_bytes(Recompute what, const SavedBytes& bytes) {
  switch (what) {
    case Recompute::kNo: return bytes.all();
    case Recompute::kCheap: return bytes.costly;
    case Recompute::kYes: break;
  }
  return 0;
}

bool not_finite(double x) { return !std::isfinite(x); }

std::string advice(DType dtype) {
  return fmt::format(
      "Training has diverged; nothing was updated. {}Lower learning_rate, or look at the data with `shardlora "
      "preview`.",
      dtype == DType::kF16 ? "f16 ends at 65504, and some models go beyond it: set fp16: false, and bf16: true where "
                             "there is bf16. "
                           : "");
}

double sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

TrainStep::TrainStep(Device& device, Model& model, ParamStore& store, Communicator& gathers, Communicator& reductions,
                     const StepLimits& limits, const StepOptions& options)
    : device_(device),
      model_(model),
      store_(store),
      reductions_(reductions),
      limits_(limits),
      recompute_(options.recompute),
      neftune_alpha_(options.neftune_alpha),
      own_(most_owned(limits.micro_batches, reductions.size())),
      wave_(options.wave == 0 ? own_ : std::min(options.wave, own_)),
      batches_(device, own_, limits.rows, limits.samples),
      inputs_(device, options.layer_inputs, model.config().layers, wave_, limits.rows, model.config().hidden,
              model.dtype(), options.scratch),
      saved_bytes_(model.saved_bytes(limits.rows)),
      head_kept_bytes_{model.head_kept_bytes(limits.rows, InputGradient::kYes),
                       model.head_kept_bytes(limits.rows, InputGradient::kNo)},
      report_(device, reductions, limits.micro_batches, limits.rows, blocks_of(store, reductions.size())),
      optimizer_(device, store),
      reducer_(device, store, reductions, limits.micro_batches, wave_, units_with_two_parts(model.spec())),
      streamer_(device, store, gathers, &reducer_, {training_visits(model.spec()), forward_visits(model.spec())},
                options.streamer) {
  const std::size_t row = static_cast<std::size_t>(model.config().hidden) * size_of(model.dtype());
  const auto wave = static_cast<std::size_t>(wave_), rows = static_cast<std::size_t>(limits.rows);
  gradients_ = device.allocate(wave * rows * row, Tier::kDevice, Purpose::kLayerInputs);
  saved_ = device.allocate(place_saved(wave), Tier::kDevice, Purpose::kLive);
  head_kept_ = device.allocate(wave * head_kept_bytes_[kTrain], Tier::kDevice, Purpose::kHead);
  scratch_ = device.allocate(std::max(model.scratch_bytes(limits.rows), model.head_bytes(limits.rows)), Tier::kDevice,
                             Purpose::kLive);

  rehearse();
  streamer_.run(kTrain);
}

std::size_t TrainStep::place_saved(std::size_t wave) {
  const bool shared =
      std::any_of(recompute_.begin(), recompute_.end(), [](Recompute r) { return r != Recompute::kNo; });
  std::size_t end = shared ? saved_bytes_.all() : 0;
  for (std::int64_t l = 0; l < model_.config().layers; ++l)
    kept_at_.push_back(std::exchange(end, end + wave * kept_bytes(recompute(l), saved_bytes_)));
  return end;
}

void TrainStep::rehearse() {
  const Rehearsal rehearsal(device_.ops());
  if (!rehearsal) return;
  // With noise dropout has products of its own; evaluation is without.
  for (const std::optional<PhiloxKey> noise : {std::optional<PhiloxKey>(), std::optional<PhiloxKey>(PhiloxKey{})}) {
    const Member m{batches_.largest(noise), 0, scratch_.tensor(DType::kF32, {limits_.rows})};
    for (std::int64_t l = 0; l < model_.config().layers; ++l) {
      const UnitView unit = streamer_.shape_of(model_.spec().layer_unit(l));
      model_.forward(unit, m.batch, input(l, m), input(l + 1, m), saved(l, m), scratch());
      model_.backward(unit, m.batch, input(l, m), gradient(m), InputGradient::kYes, saved(l, m), scratch());
    }
    for (std::size_t s = 0; s < model_.spec().slices(); ++s)
      model_.loss(streamer_.shape_of(model_.spec().head_unit(s)), m.batch, input(model_.config().layers, m), m.losses,
                  gradient(m), 1.0F, head_kept(m), scratch());
  }
}

StepResult TrainStep::run(const std::vector<SampleRefs>& micro_batches, const AdamWStep& adamw, double max_grad_norm,
                          LossScale& loss_scale, std::optional<PhiloxKey> noise,
                          const std::function<HostStatus()>& status) {
  StepResult result;
  for (const SampleRefs& samples : micro_batches) {
    result.tokens += total_tokens(samples);
    result.target_tokens += target_tokens(samples);
  }
  start(kTrain);
  const Share share = load(micro_batches, noise);
  result.loss_scale = loss_scale.value();
  const float scale = static_cast<float>(result.loss_scale) / static_cast<float>(result.target_tokens);

  reducer_.begin_step(share.cut);
  for (const std::span<const Member> wave : share.waves) {
    forward(wave);
    head(wave, scale);
    backward(wave);
  }
  reducer_.finish();

  optimizer_.sum_squares(report_.squares());
  exchange(status ? status() : HostStatus{});
  for (int r = 0; r < reductions_.size(); ++r) result.hosts.push_back(report_.status_of(static_cast<std::size_t>(r)));
  const std::vector<double> losses = this->losses(micro_batches), squares = this->squares();
  check_losses(micro_batches, losses);
  result.loss = sum(losses) / static_cast<double>(result.target_tokens);
  result.grad_norm = std::sqrt(sum(squares)) / result.loss_scale;
  result.updated = std::isfinite(result.grad_norm);
  if (!result.updated) {
    check_gradients(squares, loss_scale);
    loss_scale.overflowed();
    return result;
  }
  const double clip = max_grad_norm > 0 ? std::min(1.0, max_grad_norm / (result.grad_norm + 1e-6)) : 1.0;
  const Timeline::Mark mark = device_.timeline().begin(device_.compute(), "compute", "optimizer");
  for (std::size_t u = 0; u < store_.units(); ++u)
    optimizer_.update(u, adamw, static_cast<float>(clip / result.loss_scale));
  device_.timeline().end(device_.compute(), mark);
  loss_scale.fitted();
  return result;
}

StepResult TrainStep::evaluate(const std::vector<SampleRefs>& micro_batches, const HearLosses& told) {
  StepResult result;
  start(kEvaluate);
  for (auto begin = micro_batches.begin(); begin != micro_batches.end();) {
    const auto end = begin + std::min<std::ptrdiff_t>(limits_.micro_batches, micro_batches.end() - begin);
    const std::vector<SampleRefs> part(begin, end);
    const Share share = load(part, {});
    for (const std::span<const Member> wave : share.waves) {
      forward(wave);
      head(wave, kNoGradient);
    }
    exchange({});
    result.loss += sum(losses(part));
    for (std::size_t m = 0; m < part.size(); ++m) {
      const std::int64_t targets = target_tokens(part[m]);
      if (told) told(part[m], report_.losses_of(m, targets));
      result.tokens += total_tokens(part[m]);
      result.target_tokens += targets;
    }
    begin = end;
  }
  result.loss /= static_cast<double>(result.target_tokens);
  return result;
}

TrainStep::Share TrainStep::load(const std::vector<SampleRefs>& micro_batches, std::optional<PhiloxKey> noise) {
  Share share;
  share.cut = {deal_micro_batches(std::ssize(micro_batches), reductions_.size()), wave()};
  report_.begin(share.cut.cuts);
  const auto rank = static_cast<std::size_t>(reductions_.rank());
  const std::int64_t begin = share.cut.cuts[rank], end = share.cut.cuts[rank + 1];
  for (std::int64_t m = begin; m < end; ++m) {
    const std::int64_t place = m - begin;
    const MicroBatch batch = batches_.load(place, m, micro_batches[static_cast<std::size_t>(m)], noise);
    share.members.push_back({batch, place % share.cut.size, report_.losses(place, batch.labelled.numel())});
  }
  for (std::int64_t w = 0; w < share.cut.count(); ++w) {
    const auto [from, to] = share.cut.of_rank(rank, w);
    share.waves.push_back(
        std::span(share.members).subspan(static_cast<std::size_t>(from - begin), static_cast<std::size_t>(to - from)));
  }
  return share;
}

std::int64_t TrainStep::wave() const {
  std::int64_t most = std::min(own_, inputs_.micro_batches());
  if (const std::size_t kept = head_kept_bytes_[running_]; kept > 0)
    most = std::min(most, static_cast<std::int64_t>(head_kept_.bytes() / kept));
  return most;
}

void TrainStep::start(Schedule schedule) {
  if (running_ == schedule) return;
  streamer_.run(running_ = schedule);
  inputs_.begin(schedule == kTrain ? Pass::kTraining : Pass::kForward);
}

void TrainStep::forward(std::span<const Member> wave) {
  inputs_.open(0);
  for (std::size_t s = 0; s < model_.spec().slices(); ++s) {
    const Lease unit = streamer_.borrow(model_.spec().embedding_unit(s));
    for (const Member& m : wave) model_.embed(unit.view(), m.batch, input(0, m));
  }
  for (const Member& m : wave) {
    if (neftune_alpha_ == 0 || !m.batch.noise) continue;
    const Noise noise{*m.batch.noise, m.batch.sample_ids, m.batch.positions, 0};
    device_.ops().add_noise(input(0, m), noise, m.batch.bounds, neftune_alpha_);
  }
  for (std::int64_t l = 0; l < model_.config().layers; ++l) {
    inputs_.keep(l, std::ssize(wave));
    inputs_.open(l + 1);
    const Lease unit = streamer_.borrow(model_.spec().layer_unit(l));
    for (const Member& m : wave)
      model_.forward(unit.view(), m.batch, input(l, m), input(l + 1, m), saved(l, m), scratch());
  }
}

// Slice by slice, forth for losses and back for gradients; at the turn, the only visit of a head that is not cut, both.
void TrainStep::head(std::span<const Member> wave, float gradient_scale) {
  const bool gradients = gradient_scale != kNoGradient;
  const auto visit = [&](std::size_t slice, bool forth, bool back) {
    Lease unit = streamer_.borrow(model_.spec().head_unit(slice));
    const bool trains = back && model_.spec().head_trains();
    for (const Member& m : wave) {
      model_.loss(trains ? unit.training_view() : unit.view(), m.batch, input(model_.config().layers, m),
                  forth ? m.losses : Tensor{}, back ? gradient(m) : Tensor{}, gradient_scale, head_kept(m), scratch());
      if (trains) unit.add_leaf(m.batch.index);
    }
    if (trains) streamer_.reduce(std::move(unit));
  };
  const std::size_t turn = model_.spec().slices() - 1;
  for (std::size_t s = 0; s < turn; ++s) visit(s, true, false);
  visit(turn, true, gradients);
  if (!gradients) return;
  for (std::size_t s = turn; s-- > 0;) visit(s, false, true);
}

void TrainStep::backward(std::span<const Member> wave) {
  for (std::int64_t l = model_.config().layers - 1; l >= 0; --l) {
    Lease unit = streamer_.borrow(model_.spec().layer_unit(l));
    inputs_.bring(l);
    const InputGradient below = l > 0 || model_.spec().embedding_trains() ? InputGradient::kYes : InputGradient::kNo;
    for (const Member& m : wave) {
      if (recompute(l) != Recompute::kNo)
        model_.recompute(unit.view(), m.batch, input(l, m), recompute(l), saved(l, m), scratch());
      model_.backward(unit.training_view(), m.batch, input(l, m), gradient(m), below, saved(l, m), scratch());
      unit.add_leaf(m.batch.index);
    }
    streamer_.reduce(std::move(unit));
  }
  if (model_.spec().embedding_trains()) embed_backward(wave);
}

// A tied embedding has been visited as the head already: this is the other part of its gradient.
void TrainStep::embed_backward(std::span<const Member> wave) {
  const GradientPart part = model_.config().tied_embeddings ? GradientPart::kSecond : GradientPart::kFirst;
  for (std::size_t s = model_.spec().slices(); s-- > 0;) {
    Lease unit = streamer_.borrow(model_.spec().embedding_unit(s));
    for (const Member& m : wave) {
      model_.embed_backward(unit.training_view(), m.batch, gradient(m));
      unit.add_leaf(m.batch.index);
    }
    streamer_.reduce(std::move(unit), part);
  }
}

Tensor TrainStep::input(std::int64_t layer, const Member& member) const {
  return inputs_.at(layer, member.slot, member.batch.rows());
}

Tensor TrainStep::gradient(const Member& member) const {
  const std::int64_t width = model_.config().hidden;
  const auto offset = static_cast<std::size_t>(member.slot * limits_.rows * width) * size_of(model_.dtype());
  return gradients_.tensor(model_.dtype(), {member.batch.rows(), width}, offset);
}

Saved TrainStep::saved(std::int64_t layer, const Member& member) const {
  const Recompute what = running_ == kTrain ? recompute(layer) : Recompute::kYes;
  Saved saved = saved_at(saved_.data(), saved_bytes_);
  const std::size_t kept = kept_bytes(what, saved_bytes_);
  std::byte* const at =
      saved_.data() + kept_at_[static_cast<std::size_t>(layer)] + static_cast<std::size_t>(member.slot) * kept;
  if (what == Recompute::kNo) return saved_at(at, saved_bytes_);
  if (what == Recompute::kCheap) saved.costly = {at, kept};
  return saved;
}

Workspace TrainStep::head_kept(const Member& member) const {
  const std::size_t bytes = head_kept_bytes_[running_];
  return {head_kept_.data() + static_cast<std::size_t>(member.slot) * bytes, bytes};
}

void TrainStep::check_traffic() {
  streamer_.check();
  inputs_.check();
  if (store_.uses_host()) store_.host().throw_failure();
}

void TrainStep::exchange(const HostStatus& mine) {
  streamer_.finish_reads();
  inputs_.finish_files();
  try {
    report_.exchange(mine);
  } catch (const PeerFailed&) {
    check_traffic();  // it may know the cause, of which this is a consequence: another rank that stopped for it
    throw;
  }
  check_traffic();
}

std::vector<double> TrainStep::losses(const std::vector<SampleRefs>& micro_batches) const {
  std::vector<double> sums;
  for (std::size_t m = 0; m < micro_batches.size(); ++m) {
    const std::span<const float> losses = report_.losses_of(m, target_tokens(micro_batches[m]));
    sums.push_back(std::accumulate(losses.begin(), losses.end(), 0.0));
  }
  return sums;
}

std::vector<double> TrainStep::squares() const {
  // Ranks hold runs of every unit, so walking unit by unit, rank by rank adds the blocks in their global order.
  std::vector<std::size_t> at(static_cast<std::size_t>(reductions_.size()));
  std::vector<double> by_unit(store_.units());
  for (std::size_t u = 0; u < store_.units(); ++u)
    for (std::size_t r = 0; r < at.size(); ++r)
      for (std::size_t b = 0; b < blocks_of(store_, u, r); ++b) by_unit[u] += report_.squares_of(r)[at[r]++];
  return by_unit;
}

void TrainStep::check_losses(const std::vector<SampleRefs>& micro_batches, const std::vector<double>& losses) const {
  const auto bad = std::find_if(losses.begin(), losses.end(), not_finite);
  if (bad == losses.end()) return;
  std::string rows;
  for (const Sample* s : micro_batches[static_cast<std::size_t>(bad - losses.begin())])
    rows += fmt::format("{}{}:{}", rows.empty() ? "" : ", ", s->source, s->line);
  throw Diverged(fmt::format("the loss of {} is {}. {}", rows, *bad, advice(model_.dtype())));
}

void TrainStep::check_gradients(const std::vector<double>& squares, const LossScale& loss_scale) const {
  if (loss_scale.can_shrink()) return;
  // Backward runs from the last layer to the first, so the last bad unit is where it began, the embedding's slices
  // being the first.
  std::vector<std::size_t> backward;
  for (std::size_t s = model_.spec().slices(); s-- > 0;) backward.push_back(model_.spec().embedding_unit(s));
  for (std::size_t u = 1; u + model_.spec().slices() <= squares.size(); ++u) backward.push_back(u);
  const auto began =
      std::find_if(backward.rbegin(), backward.rend(), [&](std::size_t u) { return not_finite(squares[u]); });
  if (began == backward.rend()) return;
  throw Diverged(fmt::format("the gradient of {} is not finite{}, though the loss is. {}",
                             store_.layout(*began).spec().name,
                             loss_scale.is_dynamic() ? ", even at a loss scale of 1" : "", advice(model_.dtype())));
}

}  // namespace shardlora
