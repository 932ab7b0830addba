#include "generate/generator.h"

#include <algorithm>

#include "models/visits.h"

namespace shardlora {
namespace {

constexpr std::int64_t kChunkTokens = 2048;  // enough for good matrix products

std::int64_t chunks_of(std::int64_t prompts, std::int64_t chunk) { return (prompts + chunk - 1) / chunk; }

std::size_t ids_bytes(const GenerateLimits& limits) {
  return static_cast<std::size_t>(limits.prompts) * sizeof(std::int32_t);
}

}  // namespace

Generator::Generator(Device& device, Model& model, ParamStore& store, Communicator& gathers, TokenIds end,
                     const GenerateLimits& limits, const Sampling& sampling, const StreamerOptions& streamer)
    : device_(device),
      model_(model),
      votes_(device, gathers, static_cast<std::size_t>(gathers.size())),
      end_(std::move(end)),
      limits_(limits),
      sampling_(sampling),
      chunk_(std::clamp(kChunkTokens / limits.prompt_tokens, std::int64_t{1}, limits.prompts)),
      rows_(std::max(padded_rows(chunk_ * limits.prompt_tokens), padded_rows(limits.prompts))),
      capacity_(limits.prompt_tokens + limits.new_tokens),
      saved_bytes_(model.saved_bytes(rows_)),
      streamer_(device, store, gathers, nullptr, {forward_visits(model.spec())}, streamer),
      batches_(device, chunks_of(limits.prompts, chunk_), rows_, chunk_),
      x_(device, Tier::kDevice, 1, chunks_of(limits.prompts, chunk_), rows_, model.config().hidden, model.dtype()) {
  const ModelConfig& c = model.config();
  check_window(c, capacity_, "the length of the longest prompt with its answer");
  const std::int64_t cached = 2 * c.layers * limits.prompts * capacity_ * c.kv_heads * c.head_dim;
  cache_ = device.allocate(static_cast<std::size_t>(cached) * size_of(model.dtype()), Tier::kDevice, Purpose::kLive);
  saved_ = device.allocate(saved_bytes_.all(), Tier::kDevice, Purpose::kLive);
  scratch_ = device.allocate(std::max(model.scratch_bytes(rows_), model.head_bytes(limits.prompts)), Tier::kDevice,
                             Purpose::kLive);
  logits_ = device.allocate(static_cast<std::size_t>(limits.prompts * c.vocab) * sizeof(float), Tier::kDevice,
                            Purpose::kHead);
  if (model.spec().slices() > 1) {
    const std::int64_t rows = model.spec().units()[model.spec().head_unit()].params[0].shape[0];
    slice_logits_ =
        device.allocate(static_cast<std::size_t>(limits.prompts * rows) * sizeof(float), Tier::kDevice, Purpose::kHead);
  }
  normed_ = device.allocate(static_cast<std::size_t>(limits.prompts * c.hidden) * size_of(model.dtype()), Tier::kDevice,
                            Purpose::kHead);
  if (sampling.temperature > 0) host_logits_ = device.allocate(logits_.bytes(), Tier::kPinned, Purpose::kHead);
  ids_ = device.allocate(3 * ids_bytes(limits), Tier::kDevice, Purpose::kWorkspace);
  host_ids_ = device.allocate(3 * ids_bytes(limits), Tier::kPinned, Purpose::kWorkspace);
  rehearse();
}

void Generator::rehearse() {
  const Rehearsal rehearsal(device_.ops());
  if (!rehearsal) return;
  const MicroBatch batch = batches_.largest();
  const Tensor ids = ids_.tensor(DType::kI32, {limits_.prompts});
  for (std::int64_t l = 0; l < model_.config().layers; ++l) {
    const UnitView unit = streamer_.shape_of(model_.spec().layer_unit(l));
    model_.prefill(unit, batch, x_.at(l, 0, rows_), x_.at(l + 1, 0, rows_), cache(l, 0, chunk_), saved(), scratch());
    model_.decode(unit, ids, x_.at(l, 0, limits_.prompts), x_.at(l + 1, 0, limits_.prompts),
                  cache(l, 0, limits_.prompts), saved(), scratch());
  }
  const Tensor normed = normed_.tensor(model_.dtype(), {limits_.prompts, model_.config().hidden});
  for (std::size_t s = 0; s < model_.spec().slices(); ++s) {
    const UnitView head = streamer_.shape_of(model_.spec().head_unit(s));
    model_.logits(head, x_.at(model_.config().layers, 0, limits_.prompts), ids, normed,
                  logits_.tensor(DType::kF32, {limits_.prompts, head.params[0].shape[0]}), scratch());
  }
}

std::vector<TokenIds> Generator::run(const std::vector<TokenIds>& prompts, std::uint64_t first,
                                     const OnToken& on_token) {
  CHECK(static_cast<std::int64_t>(prompts.size()) <= limits_.prompts, "{} prompts at a time, made for {}",
        prompts.size(), limits_.prompts);
  std::vector<Sample> samples;
  TokenIds lengths;
  for (const TokenIds& prompt : prompts) {
    samples.push_back({prompt, std::vector<std::uint8_t>(prompt.size(), 0), "", 0});
    lengths.push_back(static_cast<std::int32_t>(prompt.size()));
  }
  std::vector<TokenIds> answers(prompts.size());
  std::vector<bool> ended(prompts.size(), false);
  first_ = first;
  token_ = 0;
  streamer_.run(0);
  TokenIds next = prefill(samples);
  for (;;) {
    for (std::size_t s = 0; s < answers.size(); ++s) {
      ended[s] = ended[s] || std::find(end_.begin(), end_.end(), next[s]) != end_.end();
      if (ended[s]) continue;
      answers[s].push_back(next[s]);
      if (on_token) on_token(s, next[s]);
    }
    const bool room = static_cast<std::int64_t>(++token_) < limits_.new_tokens;
    const bool unfinished = room && std::find(ended.begin(), ended.end(), false) != ended.end();
    if (!anyone(unfinished)) return answers;
    next = decode(next, lengths);
    for (std::int32_t& length : lengths) ++length;
  }
}

TokenIds Generator::prefill(const std::vector<Sample>& prompts) {
  const auto count = static_cast<std::int64_t>(prompts.size());
  std::vector<MicroBatch> chunks;
  for (std::int64_t begin = 0; begin < count; begin += chunk_) {
    SampleRefs samples;
    for (std::int64_t s = begin; s < std::min(begin + chunk_, count); ++s)
      samples.push_back(&prompts[static_cast<std::size_t>(s)]);
    chunks.push_back(batches_.load(static_cast<std::int64_t>(chunks.size()), 0, samples));
  }
  const auto x = [&](std::int64_t layer, std::size_t i) {
    return x_.at(layer, static_cast<std::int64_t>(i), chunks[i].rows());
  };
  for (std::size_t s = 0; s < model_.spec().slices(); ++s) {
    const Lease unit = streamer_.borrow(model_.spec().embedding_unit(s));
    for (std::size_t i = 0; i < chunks.size(); ++i) model_.embed(unit.view(), chunks[i], x(0, i));
  }
  for (std::int64_t l = 0; l < model_.config().layers; ++l) {
    const Lease unit = streamer_.borrow(model_.spec().layer_unit(l));
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const std::int64_t begin = static_cast<std::int64_t>(i) * chunk_;
      const KvCache lines = cache(l, begin, std::min(begin + chunk_, count));
      model_.prefill(unit.view(), chunks[i], x(l, i), x(l + 1, i), lines, saved(), scratch());
    }
  }
  std::vector<ConstTensor> outputs;
  TokenIds last_rows;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    outputs.push_back(x(model_.config().layers, i));
    std::int32_t row = -1;
    for (std::size_t s = i * static_cast<std::size_t>(chunk_);
         s < std::min((i + 1) * static_cast<std::size_t>(chunk_), prompts.size()); ++s)
      last_rows.push_back(row += static_cast<std::int32_t>(prompts[s].tokens.size()));
  }
  return choose(outputs, chunk_, last_rows);
}

TokenIds Generator::decode(const TokenIds& ids, const TokenIds& lengths) {
  const auto count = static_cast<std::int64_t>(ids.size());
  MicroBatch batch;
  batch.tokens = upload(ids, 0);
  const Tensor length = upload(lengths, 1);
  const auto x = [&](std::int64_t layer) { return x_.at(layer, 0, count); };
  for (std::size_t s = 0; s < model_.spec().slices(); ++s) {
    const Lease unit = streamer_.borrow(model_.spec().embedding_unit(s));
    if (count > 0) model_.embed(unit.view(), batch, x(0));
  }
  for (std::int64_t l = 0; l < model_.config().layers; ++l) {
    const Lease unit = streamer_.borrow(model_.spec().layer_unit(l));
    if (count > 0) model_.decode(unit.view(), length, x(l), x(l + 1), cache(l, 0, count), saved(), scratch());
  }
  TokenIds rows(ids.size());
  for (std::size_t s = 0; s < rows.size(); ++s) rows[s] = static_cast<std::int32_t>(s);
  return choose({x(model_.config().layers)}, limits_.prompts, rows);
}

Tensor Generator::logits(const std::vector<ConstTensor>& chunks, std::int64_t chunk, const TokenIds& rows) {
  const auto count = static_cast<std::int64_t>(rows.size());
  const Tensor all = logits_.tensor(DType::kF32, {count, model_.config().vocab});
  const Tensor normed = normed_.tensor(model_.dtype(), {count, model_.config().hidden}), ids = upload(rows, 2);
  const std::size_t slices = model_.spec().slices();
  for (std::size_t s = 0; s < slices; ++s) {
    const Lease unit = streamer_.borrow(model_.spec().head_unit(s));
    const ParamSpec& table = model_.spec().units()[unit.unit()].params[0];
    for (std::int64_t begin = 0; begin < count; begin += chunk) {
      const std::int64_t end = std::min(begin + chunk, count);
      const Tensor out =
          slices == 1 ? all.rows(begin, end) : slice_logits_.tensor(DType::kF32, {end - begin, table.shape[0]});
      model_.logits(unit.view(), chunks[static_cast<std::size_t>(begin / chunk)], ids.rows(begin, end),
                    normed.rows(begin, end), out, scratch());
      if (slices == 1) continue;
      for (std::int64_t row = begin; row < end; ++row) {
        const ConstTensor from = out.rows(row - begin, row - begin + 1);
        device_.copy(all.rows(row, row + 1).data + static_cast<std::size_t>(table.first_row) * sizeof(float), from.data,
                     from.bytes(), device_.compute());
      }
    }
  }
  return all;
}

TokenIds Generator::choose(const std::vector<ConstTensor>& chunks, std::int64_t chunk, const TokenIds& rows) {
  const Tensor logits = this->logits(chunks, chunk, rows);
  const std::int64_t count = logits.dim(0), vocab = logits.dim(1);
  if (count == 0) return {};
  if (sampling_.temperature > 0) {
    device_.copy(host_logits_.data(), logits.data, logits.bytes(), device_.compute());
    device_.compute().synchronize();
    streamer_.check();
    TokenIds chosen;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::span<const float> row(
          reinterpret_cast<const float*>(host_logits_.data()) + i * static_cast<std::size_t>(vocab),
          static_cast<std::size_t>(vocab));
      chosen.push_back(sample(row, sampling_, sampling_draw(sampling_.seed, first_ + i, token_)));
    }
    return chosen;
  }
  const Tensor ids = ids_.tensor(DType::kI32, {count}, 2 * ids_bytes(limits_));  // the rows have been read
  device_.ops().argmax(ids, logits);
  std::byte* const host = host_ids_.data() + 2 * ids_bytes(limits_);
  device_.copy(host, ids.data, ids.bytes(), device_.compute());
  device_.compute().synchronize();
  streamer_.check();
  const auto* chosen = reinterpret_cast<const std::int32_t*>(host);
  return {chosen, chosen + count};
}

KvCache Generator::cache(std::int64_t layer, std::int64_t begin, std::int64_t end) const {
  const ModelConfig& c = model_.config();
  const Shape all{limits_.prompts, capacity_, c.kv_heads, c.head_dim};
  const std::size_t bytes = static_cast<std::size_t>(all.numel()) * size_of(model_.dtype());
  const auto lines = [&](std::int64_t which) {
    return cache_.tensor(model_.dtype(), all, static_cast<std::size_t>(which) * bytes).rows(begin, end);
  };
  return {lines(2 * layer), lines(2 * layer + 1)};
}

Tensor Generator::upload(const TokenIds& ids, std::int64_t place) {
  const std::size_t offset = static_cast<std::size_t>(place) * ids_bytes(limits_);
  const Tensor tensor = ids_.tensor(DType::kI32, {static_cast<std::int64_t>(ids.size())}, offset);
  std::copy(ids.begin(), ids.end(), reinterpret_cast<std::int32_t*>(host_ids_.data() + offset));
  device_.copy(tensor.data, host_ids_.data() + offset, tensor.bytes(), device_.compute());
  return tensor;
}

bool Generator::anyone(bool me) {
  const std::byte vote{me};
  const std::span<const std::byte> votes = votes_.all_gather({&vote, 1});
  return std::any_of(votes.begin(), votes.end(), [](std::byte v) { return v != std::byte{0}; });
}

}  // namespace shardlora
