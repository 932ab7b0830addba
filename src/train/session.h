// What every verb that computes stands on: the ranks, a device, and a model whose packed base rests on them in shares.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/device.h"
#include "checkpoint/adapter.h"
#include "checkpoint/base_model.h"
#include "comm/host_exchange.h"
#include "comm/rendezvous.h"
#include "data/tokenizer.h"
#include "models/model.h"
#include "shard/param_store.h"
#include "train/recipe.h"

namespace shardlora {

// The ranks of this job and the device of this one. Destroyed by an exception, it ends what the other ranks wait for.
struct Ranks {
  Ranks(Rendezvous& rendezvous, const Recipe& recipe);
  ~Ranks();
  int rank() const { return reductions->rank(); }
  int size() const { return reductions->size(); }
  bool first() const { return rank() == 0; }
  // Everybody's numbers, by rank. Blocks.
  std::vector<std::vector<double>> exchange(const std::vector<double>& mine);

  std::unique_ptr<Device> device;
  std::vector<std::string> devices, numerics;  // what each rank's is, by rank, and what its last bits depend on
  std::unique_ptr<Communicator> gathers, reductions;

 private:
  std::optional<HostExchange> numbers_;
};

// A model with its base at rest. Making one is collective.
struct Session {
  // `adapter`: what the model trains or carries; null for the bare base. Reads, quantises and deals the base.
  Session(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const LoraConfig* adapter);

  std::unique_ptr<Model> model;
  std::unique_ptr<ParamStore> store;
};

// The base's own. One that has ids beyond the model's embeddings is an Error.
Tokenizer open_tokenizer(const BaseModel& base);

// A session whose model carries the PEFT adapter in `directory`; the bare base where that is empty.
Session session_with_adapter(Ranks& ranks, const Recipe& recipe, const BaseModel& base, const std::string& directory);

// The adapter that a recipe describes, untrained: A uniform in +-1/sqrt(in), B zero, as PEFT starts; whole modules that
// train as the base has them. The values depend on the base, the seed and the parameter's name only.
void initialise_adapter(ParamStore& store, const Model& model, const BaseModel& base, std::uint64_t seed);
// The values of a PEFT adapter; an Error names what does not fit.
void set_adapter(ParamStore& store, const Adapter& adapter);
// All values of the adapter. Collective; every rank gets them.
Adapter collect_adapter(const ParamStore& store, Communicator& comm, const LoraConfig& config,
                        const std::string& base_model);

}  // namespace shardlora
