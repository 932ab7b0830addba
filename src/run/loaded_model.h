// A model whose packed base rests where there is room for it: what every verb that computes stands on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "checkpoint/base_model.h"
#include "data/tokenizer.h"
#include "models/model.h"
#include "run/memory_plan.h"
#include "run/ranks.h"
#include "shard/param_store.h"

namespace shardlora {

struct LoadedModel;

// What will compute with a model, so that memory can be shared out before the base is read.
struct Workload {
  std::int64_t micro_batches = 1;  // of a rank's largest step
  // What takes memory of its own as ranks first meet in a collective (shard/warm_up.h). Collective.
  std::function<void(const ParamStore& store)> warm_up = {};
  // Takes all the memory that the work will take; OutOfMemory where there is none. Not collective. What it returns is
  // held until every rank has its own: ranks may share a disk, or a card.
  std::function<std::shared_ptr<void>(const LoadedModel& loaded)> rehearse = {};
};

struct LoadedModel {
  // `adapter`: what the model trains or carries; null for the bare base. Chooses where everything rests, then reads,
  // quantises and deals the base, which has to outlive it. Collective.
  LoadedModel(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const LoraConfig* adapter,
              const Workload& workload = {});

  Quantization quantization;  // as it is for this base
  MemoryPlan memory;
  std::string memory_text;  // a line about it
  std::unique_ptr<Model> model;
  std::unique_ptr<const BaseModel> prepared;  // where its weights were read from, if that is not the base
  std::unique_ptr<ParamStore> store;

  StreamerOptions streamer() const { return {.dtype = model->dtype(), .decode = memory.decode}; }

 private:
  std::unique_ptr<ParamStore> make_store(Ranks& ranks, const std::vector<UnitResidence>& units) const;
  void choose_memory(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const Workload& workload);
};

// A model that carries the PEFT adapter in `directory`; the bare base where that is empty. Collective.
LoadedModel load_with_adapter(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const std::string& directory,
                              const Workload& workload = {});

// The base's own. One that has ids beyond the model's embeddings is an Error.
Tokenizer open_tokenizer(const BaseModel& base);

}  // namespace shardlora
