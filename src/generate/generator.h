// Text from a model whose base rests in shares, greedy or sampled: many prompts side by side over a cache of keys and
// values. Every rank answers prompts of its own; all of them visit the units together, so the slowest rank's last token
// ends the call.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "batch/batch_buffers.h"
#include "comm/host_exchange.h"
#include "generate/sampling.h"
#include "models/model.h"
#include "shard/activation_store.h"
#include "shard/layer_streamer.h"

namespace shardlora {

using TokenIds = std::vector<std::int32_t>;

struct GenerateLimits {
  std::int64_t prompts = 1;        // side by side
  std::int64_t prompt_tokens = 1;  // of the longest one
  std::int64_t new_tokens = 64;
};

// Hears of every token of an answer as soon as it is chosen: which of the call's prompts, and the id.
using OnToken = std::function<void(std::size_t prompt, std::int32_t id)>;

class Generator {
 public:
  // `end`: the ids that end an answer.
  Generator(Device& device, Model& model, ParamStore& store, Communicator& gathers, TokenIds end,
            const GenerateLimits& limits, const Sampling& sampling, const StreamerOptions& streamer);

  // The tokens that follow each of at most limits.prompts prompts (none empty, none longer than limits.prompt_tokens),
  // without the one that ended them. Collective; ranks may bring different numbers of prompts, also none. `first`: the
  // number of prompts[0] among all that are answered with this seed, from which its draws follow.
  std::vector<TokenIds> run(const std::vector<TokenIds>& prompts, std::uint64_t first = 0,
                            const OnToken& on_token = {});

 private:
  // Has the ops take the memory that they need for the longest and the most prompts.
  void rehearse();
  TokenIds prefill(const std::vector<Sample>& prompts);
  TokenIds decode(const TokenIds& ids, const TokenIds& lengths);
  // Visits the head. The token after one row a prompt: `rows` counts them in that of `chunks`, the last layer's outputs
  // for `chunk` prompts each (the last one may have fewer), that they lie in.
  TokenIds choose(const std::vector<ConstTensor>& chunks, std::int64_t chunk, const TokenIds& rows);
  Tensor logits(const std::vector<ConstTensor>& chunks, std::int64_t chunk, const TokenIds& rows);
  KvCache cache(std::int64_t layer, std::int64_t begin, std::int64_t end) const;
  Tensor upload(const TokenIds& ids, std::int64_t place);
  bool anyone(bool me);
  Saved saved() const { return saved_at(saved_.data(), saved_bytes_); }
  Workspace scratch() const { return {scratch_.data(), scratch_.bytes()}; }

  Device& device_;
  Model& model_;
  HostExchange votes_;
  TokenIds end_;
  GenerateLimits limits_;
  Sampling sampling_;
  std::uint64_t first_ = 0, token_ = 0;  // of this call: the number of its first prompt, and of the token in work
  std::int64_t chunk_;                   // prompts that go through a layer together
  std::int64_t rows_;                    // tokens of such a chunk at most
  std::int64_t capacity_;                // tokens of a sample's line in the cache
  SavedBytes saved_bytes_;               // of a layer and a chunk
  LayerStreamer streamer_;
  BatchBuffers batches_;
  ActivationStore x_;
  Buffer cache_, saved_, scratch_, normed_, logits_, slice_logits_, host_logits_, ids_, host_ids_;
};

}  // namespace shardlora
