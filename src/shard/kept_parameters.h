// The trainable parameters as they once were.
#pragma once

#include "backend/device.h"
#include "shard/param_store.h"

namespace shardlora {

// A copy of this rank's share of the trainable parameters, in host memory.
class KeptParameters {
 public:
  KeptParameters(Device& device, ParamStore& store);
  void keep();
  // Puts them back as they were kept.
  void restore();

 private:
  ParamStore& store_;
  Buffer copy_;
};

}  // namespace shardlora
