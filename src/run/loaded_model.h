// A model whose packed base rests on the ranks, each with its share: what every verb that computes stands on.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/base_model.h"
#include "data/tokenizer.h"
#include "models/model.h"
#include "run/ranks.h"
#include "shard/param_store.h"

namespace shardlora {

struct LoadedModel {
  // `adapter`: what the model trains or carries; null for the bare base. Reads, quantises and deals the base.
  // Collective.
  LoadedModel(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const LoraConfig* adapter);

  Quantization quantization;  // as it is for this base
  std::unique_ptr<Model> model;
  std::unique_ptr<ParamStore> store;
};

// A model that carries the PEFT adapter in `directory`; the bare base where that is empty. Collective.
LoadedModel load_with_adapter(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const std::string& directory);

// The base's own. One that has ids beyond the model's embeddings is an Error.
Tokenizer open_tokenizer(const BaseModel& base);

}  // namespace shardlora
