#include <algorithm>
#include <cmath>
#include <cstring>

#include "lora/lora_linear.h"
#include "models/decoder_workspace.h"
#include "models/model.h"
#include "nn/head.h"

namespace shardlora {
namespace {

class Decoder final : public Model {
 public:
  Decoder(Device& device, const ModelSpec& spec, DType dtype)
      : Model(spec, dtype),
        ops_(device.ops()),
        config_(spec_.config()),
        traits_(spec_.traits()),
        dropout_(spec_.dropout()) {
    // Turned with sines and cosines f times as large, q k^T is f^2 times as large: the same, without touching q and k.
    const double factor = rope_attention_factor(config_.rope);
    softmax_scale_ = static_cast<float>(factor * factor / std::sqrt(static_cast<double>(config_.head_dim)));
    const std::vector<float> frequencies = rope_frequencies(config_.rope, config_.head_dim);
    frequencies_ = device.allocate(frequencies.size() * sizeof(float), Tier::kDevice, Purpose::kWorkspace);
    staged_frequencies_ = device.allocate(frequencies_.bytes(), Tier::kPinned, Purpose::kWorkspace);
    std::memcpy(staged_frequencies_.data(), frequencies.data(), frequencies_.bytes());
    device.copy(frequencies_.data(), staged_frequencies_.data(), frequencies_.bytes(), device.compute());
    inv_freq_ = frequencies_.tensor(DType::kF32, {config_.head_dim / 2});
  }

  void embed(const UnitView& unit, const MicroBatch& batch, Tensor x) override {
    ops_.embed(x, batch.tokens, unit.matrix(0), slice(unit));
  }

  void embed_backward(const UnitView& unit, const MicroBatch& batch, ConstTensor dx) override {
    ops_.embed_backward(unit.grads[0], batch.tokens, dx, slice(unit));
  }

  void forward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, Saved saved,
               Workspace scratch) override {
    const Activations a = up_to_product(unit, batch, x, saved, scratch);
    finish(unit, batch, a, y, scratch);
  }

  void recompute(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Recompute what, Saved saved,
                 Workspace scratch) override {
    if (what == Recompute::kCheap) {
      const Activations a(saved, config_, traits_, x.dim(0), adapters(unit), dtype_);
      ops_.rms_norm(a.normed, a.inv_rms, x, norm(unit, ModelSpec::kInputNorm), eps());
      ops_.rms_norm(a.middle_normed, a.middle_inv_rms, a.middle, norm(unit, ModelSpec::kPostNorm), eps());
      ops_.swiglu(a.product, a.gate, a.up);
      return;
    }
    const Activations a = up_to_product(unit, batch, x, saved, scratch);
    // All that backward takes of the down projection is x A^T, so its large product is spared.
    const LoraLinear down = linear(unit, kDown, batch);
    project_down(ops_, a.xa[kDown], a.product, down, spare(down, a.product, scratch));
  }

  void backward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor dy, InputGradient input_gradient,
                Saved saved, Workspace scratch) override;

  void loss(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor losses, Tensor dx,
            float gradient_scale, Workspace kept, Workspace scratch) override {
    if (spec_.slices() == 1)
      head_loss(ops_, losses, dx, x, batch, head(unit), gradient_scale, scratch);
    else
      head_slice(ops_, losses, dx, x, batch, head(unit), gradient_scale, kept, scratch);
  }
  void logits(const UnitView& unit, ConstTensor x, ConstTensor rows, Tensor normed, Tensor logits,
              Workspace scratch) override {
    head_logits(ops_, logits, normed, x, rows, head(unit), scratch);
  }

  void prefill(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, KvCache cache, Saved saved,
               Workspace scratch) override {
    const Activations a = up_to_product(unit, batch, x, saved, scratch);
    ops_.fill_cache(cache, keys(a.k), keys(a.v), batch.bounds.rows(0, cache.k.dim(0) + 1));  // not the padding
    finish(unit, batch, a, y, scratch);
  }

  void decode(const UnitView& unit, ConstTensor lengths, ConstTensor x, Tensor y, KvCache cache, Saved saved,
              Workspace scratch) override {
    const Activations a(saved, config_, traits_, x.dim(0), adapters(unit), dtype_);
    MicroBatch batch;
    batch.positions = lengths;
    project(unit, batch, a, x, scratch);
    ops_.attention_decode(heads(a.attended), cache, heads(a.q), keys(a.k), keys(a.v), lengths, softmax_scale_);
    after_attention(unit, batch, a, x, scratch);
    finish(unit, batch, a, y, scratch);
  }

  SavedBytes saved_bytes(std::int64_t rows) const override {
    SavedBytes most;
    for (const LayerAdapters& layer : spec_.adapters()) {
      Saved measured;
      Activations(measured, config_, traits_, rows, layer, dtype_);
      most = {std::max(most.costly, measured.costly.used()), std::max(most.cheap, measured.cheap.used())};
    }
    return most;
  }
  std::size_t scratch_bytes(std::int64_t rows) const override {
    std::size_t most = 0;  // forward's scratch, one (N, hidden) and with dropout a linear's input, is smaller
    for (const LayerAdapters& layer : spec_.adapters()) {
      Workspace measured;
      Gradients(measured, config_, rows, layer, dropout_ > 0, dtype_);
      most = std::max(most, measured.used());
    }
    return most;
  }
  std::size_t head_bytes(std::int64_t labelled) const override {
    std::size_t most = 0;  // a shorter last slice may take more rows of logits at a time
    for (std::size_t s = 0; s < spec_.slices(); ++s)
      most = std::max(most, head_scratch_bytes(labelled, config_.hidden, table(spec_.head_unit(s)).shape[0], dtype_));
    return most;
  }
  std::size_t head_kept_bytes(std::int64_t labelled, InputGradient gradient) const override {
    if (spec_.slices() == 1) return 0;
    return shardlora::head_kept_bytes(labelled, config_.hidden, dtype_, gradient == InputGradient::kYes);
  }

 private:
  Tensor heads(Tensor t) const { return t.view({t.dim(0), config_.heads, config_.head_dim}); }
  Tensor keys(Tensor t) const { return t.view({t.dim(0), config_.kv_heads, config_.head_dim}); }
  Tensor each_head(Tensor t) const { return t.view({t.numel() / config_.head_dim, config_.head_dim}); }
  static ConstTensor norm(const UnitView& unit, std::size_t which) { return unit.params[which].dense(); }
  const LayerAdapters& adapters(const UnitView& layer) const {
    return spec_.adapters()[layer.index - ModelSpec::layer_unit(0)];
  }
  float eps() const { return static_cast<float>(config_.norm_eps); }

  const ParamSpec& table(std::size_t unit) const { return spec_.units()[unit].params[0]; }
  TableSlice slice(const UnitView& unit) const {
    return {table(unit.index).first_row, table(unit.index).stored_shape()[0]};
  }
  HeadWeights head(const UnitView& unit) const {
    // Tied: the unit is [embedding, final norm]; untied: [head, final norm]. Both start with the (V, d) table, and of
    // slices only the first one has the norm.
    return {unit.params.size() > 1 ? unit.params[1].dense() : ConstTensor{}, unit.matrix(0), eps(),
            unit.grads.empty() ? Tensor{} : unit.grads[0], slice(unit)};
  }

  LoraLinear linear(const UnitView& unit, std::size_t which, const MicroBatch& batch) const {
    LoraLinear linear;
    if (const auto bias = spec_.bias(which)) linear.bias = unit.params[*bias].dense();
    const std::optional<LinearAdapter>& adapter = adapters(unit)[which];
    if (!adapter) return linear;
    linear.a = unit.params[spec_.first_adapter() + adapter->first].dense();
    linear.b = unit.params[spec_.first_adapter() + adapter->first + 1].dense();
    linear.scale = adapter->scale;
    linear.dropout = dropout_;
    if (batch.noise && dropout_ > 0)
      linear.noise = Noise{*batch.noise, batch.sample_ids, batch.positions,
                           static_cast<std::uint32_t>(unit.index * kLinears + which)};
    if (!unit.grads.empty()) {
      linear.da = unit.grads[adapter->first];
      linear.db = unit.grads[adapter->first + 1];
    }
    return linear;
  }

  // Scratch that ends with the linear.
  Tensor spare(const LoraLinear& linear, ConstTensor x, Workspace scratch) const {
    return linear.drops() ? scratch.take(dtype_, x.shape) : Tensor{};
  }
  void apply(const UnitView& unit, std::size_t which, const MicroBatch& batch, const Activations& a, Tensor y,
             ConstTensor x, Workspace scratch) {
    const LoraLinear l = linear(unit, which, batch);
    shardlora::forward(ops_, y, a.xa[which], x, unit.matrix(which), l, spare(l, x, scratch));
  }

  void project(const UnitView& unit, const MicroBatch& batch, const Activations& a, ConstTensor x, Workspace scratch) {
    ops_.rms_norm(a.normed, a.inv_rms, x, norm(unit, ModelSpec::kInputNorm), eps());
    apply(unit, kQ, batch, a, a.q_projected, a.normed, scratch);
    apply(unit, kK, batch, a, a.k_projected, a.normed, scratch);
    apply(unit, kV, batch, a, a.v, a.normed, scratch);
    if (traits_.qk_norm) {
      ops_.rms_norm(each_head(a.q), a.q_inv_rms, each_head(a.q_projected), norm(unit, ModelSpec::kQNorm), eps());
      ops_.rms_norm(each_head(a.k), a.k_inv_rms, each_head(a.k_projected), norm(unit, ModelSpec::kKNorm), eps());
    }
    ops_.rope(heads(a.q), batch.positions, inv_freq_, 1.0F);
    ops_.rope(keys(a.k), batch.positions, inv_freq_, 1.0F);
  }

  void after_attention(const UnitView& unit, const MicroBatch& batch, const Activations& a, ConstTensor x,
                       Workspace scratch) {
    const Tensor projected = scratch.take(dtype_, x.shape);
    apply(unit, kO, batch, a, projected, a.attended, scratch);
    ops_.add(a.middle, x, projected);
    ops_.rms_norm(a.middle_normed, a.middle_inv_rms, a.middle, norm(unit, ModelSpec::kPostNorm), eps());
    apply(unit, kGate, batch, a, a.gate, a.middle_normed, scratch);
    apply(unit, kUp, batch, a, a.up, a.middle_normed, scratch);
    ops_.swiglu(a.product, a.gate, a.up);
  }

  Activations up_to_product(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Saved& saved,
                            Workspace scratch) {
    const Activations a(saved, config_, traits_, x.dim(0), adapters(unit), dtype_);
    project(unit, batch, a, x, scratch);
    ops_.attention(heads(a.attended), a.lse, heads(a.q), keys(a.k), keys(a.v), batch.bounds, softmax_scale_);
    after_attention(unit, batch, a, x, scratch);
    return a;
  }

  void finish(const UnitView& unit, const MicroBatch& batch, const Activations& a, Tensor y, Workspace scratch) {
    const Tensor projected = scratch.take(dtype_, y.shape);
    apply(unit, kDown, batch, a, projected, a.product, scratch);
    ops_.add(y, a.middle, projected);
  }

  Ops& ops_;
  const ModelConfig& config_;  // these two are the spec's
  const DecoderTraits& traits_;
  Buffer frequencies_, staged_frequencies_;
  ConstTensor inv_freq_;
  float softmax_scale_ = 0;
  float dropout_;
};

void Decoder::backward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor dy,
                       InputGradient input_gradient, Saved saved, Workspace scratch) {
  const Activations a(saved, config_, traits_, x.dim(0), adapters(unit), dtype_);
  const Gradients g(scratch, config_, x.dim(0), adapters(unit), dropout_ > 0, dtype_);
  LoraLinear l[kLinears];
  for (std::size_t i = 0; i < kLinears; ++i) l[i] = linear(unit, i, batch);
  const auto propagate = [&](Tensor dx, Linear which, ConstTensor of, Accumulate accumulate) {
    shardlora::backward(ops_, dx, g.dxa[which], of, unit.matrix(which), l[which], accumulate, g.dropped[which]);
  };

  propagate(g.dproduct, kDown, dy, Accumulate::kNo);
  ops_.swiglu_backward(g.dgate, g.dup, g.dproduct, a.gate, a.up);
  propagate(g.dnormed, kGate, g.dgate, Accumulate::kNo);
  propagate(g.dnormed, kUp, g.dup, Accumulate::kYes);
  ops_.rms_norm_backward(g.dmiddle, g.dnormed, a.middle, a.middle_inv_rms, norm(unit, ModelSpec::kPostNorm),
                         Accumulate::kNo);
  ops_.add(g.dmiddle, g.dmiddle, dy);

  propagate(g.dattended, kO, g.dmiddle, Accumulate::kNo);
  ops_.attention_backward(heads(g.dq), keys(g.dk), keys(g.dv), g.delta, heads(g.dattended), heads(a.attended), a.lse,
                          heads(a.q), keys(a.k), keys(a.v), batch.bounds, softmax_scale_);
  ops_.rope(heads(g.dq), batch.positions, inv_freq_, -1.0F);
  ops_.rope(keys(g.dk), batch.positions, inv_freq_, -1.0F);
  if (traits_.qk_norm) {
    const Tensor dq = each_head(g.dq), dk = each_head(g.dk);  // from here on of what the linears gave
    ops_.rms_norm_backward(dq, dq, each_head(a.q_projected), a.q_inv_rms, norm(unit, ModelSpec::kQNorm),
                           Accumulate::kNo);
    ops_.rms_norm_backward(dk, dk, each_head(a.k_projected), a.k_inv_rms, norm(unit, ModelSpec::kKNorm),
                           Accumulate::kNo);
  }
  propagate(g.dnormed, kQ, g.dq, Accumulate::kNo);
  propagate(g.dnormed, kK, g.dk, Accumulate::kYes);
  propagate(g.dnormed, kV, g.dv, Accumulate::kYes);

  // Together at the end, so that they run side by side, each on one thread.
  std::vector<WeightGradient> jobs;
  const ConstTensor inputs[kLinears] = {a.normed,        a.normed,        a.normed, a.attended,
                                        a.middle_normed, a.middle_normed, a.product};
  const ConstTensor outputs[kLinears] = {g.dq, g.dk, g.dv, g.dmiddle, g.dgate, g.dup, dy};
  if (!unit.grads.empty())
    for (std::size_t i = 0; i < kLinears; ++i)
      gradients(ops_, jobs, l[i], inputs[i], a.xa[i], outputs[i], g.dxa[i], g.dropped[i]);
  if (!jobs.empty()) ops_.weight_gradients(jobs);

  if (input_gradient == InputGradient::kNo) return;
  ops_.rms_norm_backward(dy, g.dnormed, x, a.inv_rms, norm(unit, ModelSpec::kInputNorm), Accumulate::kNo);
  ops_.add(dy, dy, g.dmiddle);
}

}  // namespace

std::unique_ptr<Model> make_model(Device& device, const ModelSpec& spec, DType dtype) {
  return std::make_unique<Decoder>(device, spec, dtype);
}

}  // namespace shardlora
