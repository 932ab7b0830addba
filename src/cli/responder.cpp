#include "cli/responder.h"

namespace shardlora {

Responder::Responder(Ranks& ranks, const LoadedModel& loaded, const Tokenizer& tokenizer, TokenIds ends,
                     const GenerateLimits& limits, const Sampling& sampling)
    : tokenizer_(tokenizer),
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
  generator_.run(prompts, answered_++, [&](std::size_t, std::int32_t id) { add(decoder.add(id)); });
  add(decoder.finish());
  return text;
}

}  // namespace shardlora
