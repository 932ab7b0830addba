#include "cli/responder.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "models/visits.h"

namespace shardlora {

Responder::Responder(Ranks& ranks, const LoadedModel& loaded, const Tokenizer& tokenizer, TokenIds ends,
                     const GenerateLimits& limits, const Sampling& sampling)
    : tokenizer_(tokenizer),
      offloaded_(offload_text(*loaded.store, forward_visits(loaded.model->spec()), ranks.size())),
      generator_(*ranks.device, *loaded.model, *loaded.store, *ranks.gathers, std::move(ends), limits, sampling,
                 loaded.streamer()) {}

std::string Responder::respond(const TokenIds& prompt, const std::function<void(std::string_view)>& on_text) {
  StreamDecoder decoder(tokenizer_);
  std::string text;
  const auto add = [&](const std::string& piece) {
    if (piece.empty()) return;
    text += piece;
    on_text(piece);
  };
  std::vector<TokenIds> prompts;
  if (!prompt.empty()) prompts.push_back(prompt);
  bool tell = answered_ == 0 && !offloaded_.empty();
  if (tell) spdlog::info("{}", offloaded_);
  const auto begin = std::chrono::steady_clock::now();
  generator_.run(prompts, answered_++, [&](std::size_t, std::int32_t id) {
    // Before its text, which others would stand in the middle of. Reading the prompt moved the same bytes.
    if (std::exchange(tell, false))
      spdlog::info("the first token took {:.2f} s, those after it take about as long",
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    add(decoder.add(id));
  });
  add(decoder.finish());
  return text;
}

}  // namespace shardlora
