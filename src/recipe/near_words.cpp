// Values of other trainers that are taken for something near, which is said.
#include <algorithm>
#include <array>

#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

// Other forms of AdamW, which keep its state in fewer bits or in another place.
constexpr std::array<std::string_view, 16> kNearAdamW{
    "adamw_8bit",       "adamw_bnb_8bit",        "adamw_torch_8bit",   "adamw_torch_4bit",
    "ao_adamw_8bit",    "ao_adamw_4bit",         "ao_adamw_fp8",       "paged_adamw",
    "paged_adamw_8bit", "paged_adamw_32bit",     "adamw_anyprecision", "adamw_apex_fused",
    "adamw_torch_xla",  "adamw_torch_npu_fused", "optimi_adamw",       "flash_adamw"};

}  // namespace

void read_optimizer(RecipeDraft& r, const ConfigValue& v) {
  const std::string word = to_text(v);
  if (word == "adamw" || word == "adamw_torch" || word == "adamw_torch_fused" || word == "adamw_hf") return;
  if (std::find(kNearAdamW.begin(), kNearAdamW.end(), word) == kNearAdamW.end())
    expected(v, "adamw (or adamw_torch, adamw_torch_fused), the only optimizer of this version");
  r.said.say(fmt::format("{}: {}: {} is AdamW with its state in f32 here", v.node.place, v.name, word));
}

void read_checkpointing(RecipeDraft& r, const ConfigValue& v) {
  const std::string word = v.node.kind == ConfigNode::Kind::kScalar ? v.node.text : "";
  r.gradient_checkpointing.reset();
  if (word == "auto") return;
  r.gradient_checkpointing = word == "offload" || word == "offload_disk" || to_bool(v);
  if (word == "offload") r.offload_layer_inputs = Tier::kPinned;
  if (word == "offload_disk") r.offload_layer_inputs = Tier::kDisk;
}

}  // namespace shardlora
