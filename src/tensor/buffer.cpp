#include "tensor/buffer.h"

namespace shardlora {

std::string_view name_of(Purpose purpose) {
  switch (purpose) {
    case Purpose::kFrozen: return "frozen";
    case Purpose::kTrainable: return "trainable";
    case Purpose::kGradients: return "gradients";
    case Purpose::kOptimizer: return "optimizer";
    case Purpose::kLayerInputs: return "layer_inputs";
    case Purpose::kLive: return "live";
    case Purpose::kStreaming: return "streaming";
    case Purpose::kHead: return "head";
    case Purpose::kCommunication: return "communication";
    case Purpose::kWorkspace: return "workspace";
    case Purpose::kCount: break;
  }
  return "?";
}

}  // namespace shardlora
