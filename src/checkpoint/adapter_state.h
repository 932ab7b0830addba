// An adapter's values in and out of the store that they train in.
#pragma once

#include <string>

#include "checkpoint/adapter.h"
#include "checkpoint/base_model.h"
#include "shard/param_store.h"

namespace shardlora {

// An untrained adapter: A uniform in +-1/sqrt(in), B zero, as PEFT starts; whole modules that train as the base has
// them. The values depend on the base, the seed and the parameter's place in the model only.
void initialise_adapter(ParamStore& store, const BaseModel& base, std::uint64_t seed);
// The values of a PEFT adapter; an Error names what does not fit.
void set_adapter(ParamStore& store, const Adapter& adapter);
// All values of the adapter. Collective; every rank gets them.
Adapter collect_adapter(const ParamStore& store, Communicator& comm, const LoraConfig& config,
                        const std::string& base_model);

}  // namespace shardlora
