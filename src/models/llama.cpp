#include "models/llama.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lora/lora_linear.h"
#include "nn/head.h"
#include "nn/rope.h"

namespace shardlora {
namespace {

// The linears of a layer, in the order of their parameters and of everything that is kept per linear.
enum Linear : std::size_t { kQ, kK, kV, kO, kGate, kUp, kDown, kLinears };
constexpr const char* kModules[kLinears] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                            "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                            "mlp.down_proj"};
constexpr const char* kGgufModules[kLinears] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                "ffn_gate", "ffn_up", "ffn_down"};
constexpr const char* kLinearNames = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj";
// Parameters of a layer's unit: the linears, the two norms, then A and B of every adapted linear.
constexpr std::size_t kInputNorm = kLinears, kPostNorm = kLinears + 1, kFirstAdapter = kLinears + 2;

struct Widths {
  std::int64_t in, out;
};

Widths widths(const ModelConfig& c, std::size_t linear) {
  const std::int64_t query = c.heads * c.head_dim, key = c.kv_heads * c.head_dim;
  switch (linear) {
    case kQ: return {c.hidden, query};
    case kK:
    case kV: return {c.hidden, key};
    case kO: return {query, c.hidden};
    case kDown: return {c.intermediate, c.hidden};
    default: return {c.hidden, c.intermediate};
  }
}

// What backward needs of a layer's forward pass.
struct Activations {
  Activations(Workspace& space, const ModelConfig& c, std::int64_t n, std::int64_t rank, DType dtype)
      : normed(space.take(dtype, {n, c.hidden})),
        inv_rms(space.take(DType::kF32, {n})),
        q(space.take(dtype, {n, c.heads * c.head_dim})),
        k(space.take(dtype, {n, c.kv_heads * c.head_dim})),
        v(space.take(dtype, {n, c.kv_heads * c.head_dim})),
        attended(space.take(dtype, {n, c.heads * c.head_dim})),
        lse(space.take(DType::kF32, {c.heads, n})),
        middle(space.take(dtype, {n, c.hidden})),
        middle_normed(space.take(dtype, {n, c.hidden})),
        middle_inv_rms(space.take(DType::kF32, {n})),
        gate(space.take(dtype, {n, c.intermediate})),
        up(space.take(dtype, {n, c.intermediate})),
        product(space.take(dtype, {n, c.intermediate})) {
    for (Tensor& t : xa) t = space.take(dtype, {n, rank});
  }
  Tensor normed, inv_rms, q, k, v, attended, lse, middle, middle_normed, middle_inv_rms, gate, up, product;
  Tensor xa[kLinears];
};

// Scratch of backward: gradients of the activations, all alive until the weight gradients are made at the end.
struct Gradients {
  Gradients(Workspace& space, const ModelConfig& c, std::int64_t n, std::int64_t rank, DType dtype)
      : dproduct(space.take(dtype, {n, c.intermediate})),
        dgate(space.take(dtype, {n, c.intermediate})),
        dup(space.take(dtype, {n, c.intermediate})),
        dnormed(space.take(dtype, {n, c.hidden})),
        dmiddle(space.take(dtype, {n, c.hidden})),
        dattended(space.take(dtype, {n, c.heads * c.head_dim})),
        dq(space.take(dtype, {n, c.heads * c.head_dim})),
        dk(space.take(dtype, {n, c.kv_heads * c.head_dim})),
        dv(space.take(dtype, {n, c.kv_heads * c.head_dim})),
        delta(space.take(DType::kF32, {c.heads, n})) {
    for (Tensor& t : dxa) t = space.take(dtype, {n, rank});
  }
  Tensor dproduct, dgate, dup, dnormed, dmiddle, dattended, dq, dk, dv, delta;
  Tensor dxa[kLinears];
};

class Llama final : public Model {
 public:
  Llama(Device& device, const ModelConfig& config, const BaseFormats& base, const LoraConfig* adapter, DType dtype)
      : Model(config, dtype), ops_(device.ops()) {
    add_units(base, adapter);
    const std::vector<float> frequencies = rope_frequencies(config.rope_theta, config.head_dim);
    frequencies_ = device.allocate(frequencies.size() * sizeof(float), Tier::kDevice, Purpose::kWorkspace);
    staged_frequencies_ = device.allocate(frequencies_.bytes(), Tier::kPinned, Purpose::kWorkspace);
    std::memcpy(staged_frequencies_.data(), frequencies.data(), frequencies_.bytes());
    device.copy(frequencies_.data(), staged_frequencies_.data(), frequencies_.bytes(), device.compute());
    inv_freq_ = frequencies_.tensor(DType::kF32, {config.head_dim / 2});
  }

  GgufName gguf_name(const ParamSpec& param) const override;

  void embed(const UnitView& unit, const MicroBatch& batch, Tensor x) override {
    ops_.embed(x, batch.tokens, unit.params[0].dense());
  }

  void forward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, Workspace saved,
               Workspace scratch) override {
    const Activations a = up_to_product(unit, batch, x, saved, scratch);
    finish(unit, a, y, scratch);
  }

  void recompute(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Workspace saved,
                 Workspace scratch) override {
    const Activations a = up_to_product(unit, batch, x, saved, scratch);
    // All that backward takes of the down projection is x A^T, so its large product is spared.
    if (const LoraLinear down = linear(unit, kDown); down.adapted()) {
      ops_.matmul(a.xa[kDown], a.product, Op::kNone, down.a, Op::kTranspose, Accumulate::kNo);
      ops_.scale(a.xa[kDown], down.scale);
    }
  }

  void backward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor dy, InputGradient input_gradient,
                Workspace saved, Workspace scratch) override;

  void loss(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor losses, Tensor dx,
            float gradient_scale, Workspace scratch) override {
    head_loss(ops_, losses, dx, x, batch, head(unit), gradient_scale, scratch);
  }
  void logits(const UnitView& unit, ConstTensor x, ConstTensor rows, Tensor logits, Workspace scratch) override {
    head_logits(ops_, logits, x, rows, head(unit), scratch);
  }

  void prefill(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor y, KvCache cache, Workspace saved,
               Workspace scratch) override {
    const Activations a = up_to_product(unit, batch, x, saved, scratch);
    ops_.fill_cache(cache, keys(a.k), keys(a.v), batch.bounds.rows(0, cache.k.dim(0) + 1));  // not the padding
    finish(unit, a, y, scratch);
  }

  void decode(const UnitView& unit, ConstTensor lengths, ConstTensor x, Tensor y, KvCache cache, Workspace saved,
              Workspace scratch) override {
    const Activations a(saved, config_, x.dim(0), rank_, dtype_);
    project(unit, a, x, lengths);
    ops_.attention_decode(heads(a.attended), cache, heads(a.q), keys(a.k), keys(a.v), lengths, softmax_scale());
    after_attention(unit, a, x, scratch);
    finish(unit, a, y, scratch);
  }

  std::size_t saved_bytes(std::int64_t rows) const override {
    Workspace measured;
    Activations(measured, config_, rows, rank_, dtype_);
    return measured.used();
  }
  std::size_t scratch_bytes(std::int64_t rows) const override {
    Workspace measured;  // forward's only scratch, one (N, hidden), is smaller
    Gradients(measured, config_, rows, rank_, dtype_);
    return measured.used();
  }
  std::size_t head_bytes(std::int64_t labelled) const override {
    return head_scratch_bytes(labelled, config_.hidden, config_.vocab, dtype_);
  }

 private:
  void add_units(const BaseFormats& base, const LoraConfig* adapter);

  Tensor heads(Tensor t) const { return t.view({t.dim(0), config_.heads, config_.head_dim}); }
  Tensor keys(Tensor t) const { return t.view({t.dim(0), config_.kv_heads, config_.head_dim}); }
  float softmax_scale() const { return 1.0F / std::sqrt(static_cast<float>(config_.head_dim)); }
  float eps() const { return static_cast<float>(config_.norm_eps); }

  HeadWeights head(const UnitView& unit) const {
    // Tied: the unit is [embedding, final norm]; untied: [head, final norm]. Both start with the (V, d) table.
    return {unit.params[1].dense(), unit.params[0].dense(), eps()};
  }

  LoraLinear linear(const UnitView& unit, std::size_t which) const {
    LoraLinear linear;
    linear.weight = unit.params[which].dense();
    if (adapter_of_[which] < 0) return linear;
    const auto first = static_cast<std::size_t>(adapter_of_[which]);  // index among the unit's trainable parameters
    linear.a = unit.params[kFirstAdapter + first].dense();
    linear.b = unit.params[kFirstAdapter + first + 1].dense();
    linear.scale = adapter_scale_;
    if (!unit.grads.empty()) {
      linear.da = unit.grads[first];
      linear.db = unit.grads[first + 1];
    }
    return linear;
  }

  void project(const UnitView& unit, const Activations& a, ConstTensor x, ConstTensor positions) {
    ops_.rms_norm(a.normed, a.inv_rms, x, unit.params[kInputNorm].dense(), eps());
    shardlora::forward(ops_, a.q, a.xa[kQ], a.normed, linear(unit, kQ));
    shardlora::forward(ops_, a.k, a.xa[kK], a.normed, linear(unit, kK));
    shardlora::forward(ops_, a.v, a.xa[kV], a.normed, linear(unit, kV));
    ops_.rope(heads(a.q), positions, inv_freq_, 1.0F);
    ops_.rope(keys(a.k), positions, inv_freq_, 1.0F);
  }

  void after_attention(const UnitView& unit, const Activations& a, ConstTensor x, Workspace scratch) {
    const Tensor projected = scratch.take(dtype_, x.shape);
    shardlora::forward(ops_, projected, a.xa[kO], a.attended, linear(unit, kO));
    ops_.add(a.middle, x, projected);
    ops_.rms_norm(a.middle_normed, a.middle_inv_rms, a.middle, unit.params[kPostNorm].dense(), eps());
    shardlora::forward(ops_, a.gate, a.xa[kGate], a.middle_normed, linear(unit, kGate));
    shardlora::forward(ops_, a.up, a.xa[kUp], a.middle_normed, linear(unit, kUp));
    ops_.swiglu(a.product, a.gate, a.up);
  }

  Activations up_to_product(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Workspace& saved,
                            Workspace scratch) {
    const Activations a(saved, config_, x.dim(0), rank_, dtype_);
    project(unit, a, x, batch.positions);
    ops_.attention(heads(a.attended), a.lse, heads(a.q), keys(a.k), keys(a.v), batch.bounds, softmax_scale());
    after_attention(unit, a, x, scratch);
    return a;
  }

  void finish(const UnitView& unit, const Activations& a, Tensor y, Workspace scratch) {
    const Tensor projected = scratch.take(dtype_, y.shape);
    shardlora::forward(ops_, projected, a.xa[kDown], a.product, linear(unit, kDown));
    ops_.add(y, a.middle, projected);
  }

  Ops& ops_;
  Buffer frequencies_, staged_frequencies_;
  ConstTensor inv_freq_;
  std::int64_t rank_ = 0;
  float adapter_scale_ = 0;
  std::int64_t adapter_of_[kLinears] = {-1, -1, -1, -1, -1, -1, -1};  // first of A, B among the trainable parameters
};

void Llama::backward(const UnitView& unit, const MicroBatch& batch, ConstTensor x, Tensor dy,
                     InputGradient input_gradient, Workspace saved, Workspace scratch) {
  const Activations a(saved, config_, x.dim(0), rank_, dtype_);
  const Gradients g(scratch, config_, x.dim(0), rank_, dtype_);
  LoraLinear l[kLinears];
  for (std::size_t i = 0; i < kLinears; ++i) l[i] = linear(unit, i);

  shardlora::backward(ops_, g.dproduct, g.dxa[kDown], dy, l[kDown], Accumulate::kNo);
  ops_.swiglu_backward(g.dgate, g.dup, g.dproduct, a.gate, a.up);
  shardlora::backward(ops_, g.dnormed, g.dxa[kGate], g.dgate, l[kGate], Accumulate::kNo);
  shardlora::backward(ops_, g.dnormed, g.dxa[kUp], g.dup, l[kUp], Accumulate::kYes);
  ops_.rms_norm_backward(g.dmiddle, g.dnormed, a.middle, a.middle_inv_rms, unit.params[kPostNorm].dense(),
                         Accumulate::kNo);
  ops_.add(g.dmiddle, g.dmiddle, dy);

  shardlora::backward(ops_, g.dattended, g.dxa[kO], g.dmiddle, l[kO], Accumulate::kNo);
  ops_.attention_backward(heads(g.dq), keys(g.dk), keys(g.dv), g.delta, heads(g.dattended), heads(a.attended), a.lse,
                          heads(a.q), keys(a.k), keys(a.v), batch.bounds, softmax_scale());
  ops_.rope(heads(g.dq), batch.positions, inv_freq_, -1.0F);
  ops_.rope(keys(g.dk), batch.positions, inv_freq_, -1.0F);
  shardlora::backward(ops_, g.dnormed, g.dxa[kQ], g.dq, l[kQ], Accumulate::kNo);
  shardlora::backward(ops_, g.dnormed, g.dxa[kK], g.dk, l[kK], Accumulate::kYes);
  shardlora::backward(ops_, g.dnormed, g.dxa[kV], g.dv, l[kV], Accumulate::kYes);

  // Together at the end, so that they run side by side, each on one thread.
  std::vector<WeightGradient> jobs;
  const ConstTensor inputs[kLinears] = {a.normed,        a.normed,        a.normed, a.attended,
                                        a.middle_normed, a.middle_normed, a.product};
  const ConstTensor outputs[kLinears] = {g.dq, g.dk, g.dv, g.dmiddle, g.dgate, g.dup, dy};
  if (!unit.grads.empty())
    for (std::size_t i = 0; i < kLinears; ++i) gradients(jobs, l[i], inputs[i], a.xa[i], outputs[i], g.dxa[i]);
  if (!jobs.empty()) ops_.weight_gradients(jobs);

  if (input_gradient == InputGradient::kNo) return;
  ops_.rms_norm_backward(dy, g.dnormed, x, a.inv_rms, unit.params[kInputNorm].dense(), Accumulate::kNo);
  ops_.add(dy, dy, g.dmiddle);
}

void Llama::add_units(const BaseFormats& base, const LoraConfig* adapter) {
  const ModelConfig& c = config_;
  const Format f32{.codec = Codec::kF32};
  const ParamSpec table{"model.embed_tokens.weight", {c.vocab, c.hidden}, base.other};
  const ParamSpec norm{"model.norm.weight", {c.hidden}, f32};
  units_.push_back({"model.embed_tokens", {table}});
  if (c.tied_embeddings) units_.back().params.push_back(norm);

  std::int64_t trainable = 0;
  for (std::size_t i = 0; adapter != nullptr && i < kLinears; ++i)
    if (adapter->targets(std::string("model.layers.0.") + kModules[i]))
      adapter_of_[i] = std::exchange(trainable, trainable + 2);
  for (const std::string& target : adapter != nullptr ? adapter->target_modules : std::vector<std::string>{}) {
    const LoraConfig only{.rank = 1, .alpha = 1, .target_modules = {target}};
    if (std::none_of(std::begin(kModules), std::end(kModules),
                     [&](const char* module) { return only.targets(std::string("model.layers.0.") + module); }))
      fail("lora_target_modules: this model has no \"{}\"; its linears are {}", target, kLinearNames);
  }
  if (adapter != nullptr && trainable == 0) fail("lora_target_modules is empty; choose from {}", kLinearNames);
  if (adapter != nullptr) {
    rank_ = adapter->rank;
    adapter_scale_ = static_cast<float>(adapter->scale());
  }

  for (std::int64_t layer = 0; layer < c.layers; ++layer) {
    UnitSpec unit{fmt::format("model.layers.{}", layer), {}};
    for (std::size_t i = 0; i < kLinears; ++i)
      unit.params.push_back(
          {fmt::format("{}.{}.weight", unit.name, kModules[i]), {widths(c, i).out, widths(c, i).in}, base.linear});
    unit.params.push_back({unit.name + ".input_layernorm.weight", {c.hidden}, f32});
    unit.params.push_back({unit.name + ".post_attention_layernorm.weight", {c.hidden}, f32});
    for (std::size_t i = 0; i < kLinears; ++i) {
      if (adapter_of_[i] < 0) continue;
      const std::string prefix = fmt::format("{}.{}.lora_", unit.name, kModules[i]);
      unit.params.push_back({prefix + "A.weight", {rank_, widths(c, i).in}, f32, true});
      unit.params.push_back({prefix + "B.weight", {widths(c, i).out, rank_}, f32, true});
    }
    units_.push_back(std::move(unit));
  }
  if (!c.tied_embeddings) units_.push_back({"lm_head", {{"lm_head.weight", {c.vocab, c.hidden}, base.other}, norm}});
}

GgufName Llama::gguf_name(const ParamSpec& param) const {
  if (param.name == "model.embed_tokens.weight") return {"token_embd.weight"};
  if (param.name == "model.norm.weight") return {"output_norm.weight"};
  if (param.name == "lm_head.weight") return {"output.weight"};
  // "model.layers.7.mlp.up_proj.weight" -> "blk.7.ffn_up.weight"
  const std::string_view rest = std::string_view(param.name).substr(std::string_view("model.layers.").size());
  const std::size_t dot = rest.find('.');
  const std::string_view layer = rest.substr(0, dot), module = rest.substr(dot + 1);
  if (module == "input_layernorm.weight") return {fmt::format("blk.{}.attn_norm.weight", layer)};
  if (module == "post_attention_layernorm.weight") return {fmt::format("blk.{}.ffn_norm.weight", layer)};
  for (std::size_t i = 0; i < kLinears; ++i)
    if (module == std::string(kModules[i]) + ".weight")
      return {fmt::format("blk.{}.{}.weight", layer, kGgufModules[i]), i == kQ   ? config_.heads
                                                                       : i == kK ? config_.kv_heads
                                                                                 : 0};
  DCHECK(false, "{} has no name in GGUF", param.name);
  return {};
}

}  // namespace

std::unique_ptr<Model> make_llama(Device& device, const ModelConfig& config, const BaseFormats& base,
                                  const LoraConfig* adapter, DType dtype) {
  return std::make_unique<Llama>(device, config, base, adapter, dtype);
}

}  // namespace shardlora
