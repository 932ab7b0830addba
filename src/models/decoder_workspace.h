// The memory that one pass over a decoder layer works in.
#pragma once

#include "models/model.h"
#include "nn/workspace.h"

namespace shardlora {

// What backward needs of a layer's forward pass.
struct Activations {
  Activations(Saved& saved, const ModelConfig& c, const DecoderTraits& traits, std::int64_t n,
              const LayerAdapters& adapters, DType dtype)
      : Activations(saved.costly, saved.cheap, c, traits, n, adapters, dtype) {}
  Activations(Workspace& space, Workspace& cheap, const ModelConfig& c, const DecoderTraits& traits, std::int64_t n,
              const LayerAdapters& adapters, DType dtype)
      : normed(cheap.take(dtype, {n, c.hidden})),
        inv_rms(cheap.take(DType::kF32, {n})),
        q(space.take(dtype, {n, c.heads * c.head_dim})),
        k(space.take(dtype, {n, c.kv_heads * c.head_dim})),
        v(space.take(dtype, {n, c.kv_heads * c.head_dim})),
        attended(space.take(dtype, {n, c.heads * c.head_dim})),
        lse(space.take(DType::kF32, {c.heads, n})),
        middle(space.take(dtype, {n, c.hidden})),
        middle_normed(cheap.take(dtype, {n, c.hidden})),
        middle_inv_rms(cheap.take(DType::kF32, {n})),
        gate(space.take(dtype, {n, c.intermediate})),
        up(space.take(dtype, {n, c.intermediate})),
        product(cheap.take(dtype, {n, c.intermediate})),
        q_projected(q),
        k_projected(k) {
    for (std::size_t i = 0; i < kLinears; ++i) xa[i] = space.take(dtype, {n, rank_of(adapters[i])});
    if (!traits.qk_norm) return;
    q_projected = space.take(dtype, q.shape);
    k_projected = space.take(dtype, k.shape);
    q_inv_rms = space.take(DType::kF32, {n * c.heads});
    k_inv_rms = space.take(DType::kF32, {n * c.kv_heads});
  }
  Tensor normed, inv_rms, q, k, v, attended, lse, middle, middle_normed, middle_inv_rms, gate, up, product;
  Tensor q_projected, k_projected;  // what the linears gave; q and k themselves where nothing is normed in between
  Tensor q_inv_rms, k_inv_rms;      // with qk_norm only
  Tensor xa[kLinears];
};

// Scratch of backward: gradients of the activations, all alive until the weight gradients are made at the end.
struct Gradients {
  Gradients(Workspace& space, const ModelConfig& c, std::int64_t n, const LayerAdapters& adapters, bool drops,
            DType dtype)
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
    for (std::size_t i = 0; i < kLinears; ++i) dxa[i] = space.take(dtype, {n, rank_of(adapters[i])});
    if (!drops) return;
    const std::int64_t query = c.heads * c.head_dim;
    for (std::size_t i = 0; i < kLinears; ++i)
      dropped[i] = space.take(dtype, {n, i == kO ? query : i == kDown ? c.intermediate : c.hidden});
  }
  Tensor dproduct, dgate, dup, dnormed, dmiddle, dattended, dq, dk, dv, delta;
  Tensor dxa[kLinears];
  Tensor dropped[kLinears];  // with dropout only: what A saw of every linear's input
};

}  // namespace shardlora
