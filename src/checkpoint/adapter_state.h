// An adapter's values in and out of the store that they train in.
#pragma once

#include <filesystem>
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
// Rank 0 writes the adapter into `directory`. Units are gathered to it one by one as they stand in the file, so it
// holds one at a time, and the other ranks nothing beside their shares. Collective.
void save_adapter(const std::filesystem::path& directory, const ParamStore& store, Communicator& comm,
                  const LoraConfig& config, const std::string& base_model);

}  // namespace shardlora
