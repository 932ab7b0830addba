// The keys of a recipe about where and how a run computes, and where it writes.
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;

RecipeField use_dtype(const std::vector<std::string>& names, UseDtype Recipe::* member, std::string help) {
  return K::row(
      names, "auto, true or false", std::move(help),
      [member](RecipeDraft& r, const ConfigValue& v) {
        const std::string word = v.node.kind == ConfigNode::Kind::kScalar ? v.node.text : "";
        if (word == "full")
          fail("{}: {}: full is not supported in this version; set it to auto or true", v.node.place, v.name);
        r.*member = word == "auto" ? UseDtype::kAuto : to_bool(v) ? UseDtype::kYes : UseDtype::kNo;
      },
      [member](const RecipeDraft& r) -> std::string {
        return r.*member == UseDtype::kAuto ? "auto" : written(r.*member == UseDtype::kYes);
      });
}

// Of an optional: auto leaves it open.
template <typename T>
RecipeField open_choice(const std::vector<std::string>& names, std::optional<T> Recipe::* member,
                        const Choices<T>& choices, std::string help) {
  return K::row(
      names, "auto, " + choice_names(choices), std::move(help),
      [=](RecipeDraft& r, const ConfigValue& v) {
        const std::string word = v.node.kind == ConfigNode::Kind::kScalar ? v.node.text : "";
        r.*member = word == "auto" ? std::nullopt : std::optional(to_choice(v, choices));
      },
      [=](const RecipeDraft& r) { return r.*member ? choice_name(*(r.*member), choices) : std::string("auto"); });
}

}  // namespace

std::vector<RecipeField> run_fields() {
  return {
      K::whole({"logging_steps"}, &Recipe::logging_steps, 1, kMany,
               "steps between progress lines, where no terminal shows them live"),
      K::text({"output_dir"}, &Recipe::output_dir, "the folder for adapter, metrics and log"),
      K::text({"profile"}, &Recipe::profile,
              "the file for a Chrome trace of the first 3 steps, such as trace.json; several ranks write one each"),
      K::row(
          {"seed"}, whole_number(0, kMany), "what every random draw follows from",
          [](RecipeDraft& r, const ConfigValue& v) { r.seed = static_cast<std::uint64_t>(to_integer(v, 0, kMany)); },
          [](const RecipeDraft& r) { return std::to_string(r.seed); }),
      K::choice<Backend>({"backend"}, &Recipe::backend,
                         {{"auto", Backend::kAuto}, {"cpu", Backend::kCpu}, {"cuda", Backend::kCuda}},
                         "what computes; auto: GPUs where every rank has one"),
      K::row(
          {"use_cpu"}, "true or false", "true is the same as backend: cpu",
          [](RecipeDraft& r, const ConfigValue& v) {
            if (to_bool(v)) r.backend = Backend::kCpu;
          },
          nullptr),
      use_dtype({"bf16", "bfloat16"}, &Recipe::bf16, "compute in bf16; auto: where every rank is fast in it"),
      use_dtype({"fp16", "float16"}, &Recipe::fp16,
                "compute in f16 with loss scaling; auto: where every rank is fast in it, but not in bf16"),
      K::row({"gradient_checkpointing"}, "auto, true or false",
             "compute activations again in backward: less memory, same bits; auto: of as few layers as may be",
             read_checkpointing,
             [](const RecipeDraft& r) {
               return r.gradient_checkpointing ? written(*r.gradient_checkpointing) : std::string("auto");
             }),
      K::row(
          {"disable_gradient_checkpointing"}, "true or false", "true is the same as gradient_checkpointing: false",
          [](RecipeDraft& r, const ConfigValue& v) {
            if (to_bool(v)) r.gradient_checkpointing = false;
          },
          nullptr),
      K::only({"deterministic"}, {"strict", "true"}, "strict, the only mode of this version",
              "the same inputs give the same bits", [](const RecipeDraft&) { return std::string("strict"); }),
      open_choice<Sharding>({"sharding.strategy"}, &Recipe::sharding,
                            {{"full_shard", Sharding::kSharded},
                             {"FULL_SHARD", Sharding::kSharded},
                             {"zero3", Sharding::kSharded},
                             {"replicate", Sharding::kReplicated},
                             {"ddp", Sharding::kReplicated},
                             {"no_shard", Sharding::kReplicated},
                             {"NO_SHARD", Sharding::kReplicated}},
                            "full_shard: every rank holds its share of the base; replicate: all of it; auto: all of it "
                            "where it fits"),
      open_choice<Tier>({"offload.base", "sharding.offload"}, &Recipe::offload_base,
                        {{"none", Tier::kDevice},
                         {"false", Tier::kDevice},
                         {"host", Tier::kPinned},
                         {"true", Tier::kPinned},
                         {"disk", Tier::kDisk}},
                        "where the base rests; auto: layers without room on the device in host memory, else on disk"),
      open_choice<Tier>({"offload.layer_inputs"}, &Recipe::offload_layer_inputs,
                        {{"none", Tier::kDevice}, {"host", Tier::kPinned}, {"disk", Tier::kDisk}},
                        "where what backward starts from rests: none: on the device; disk: beside output_dir's files"),
      open_choice<Tier>({"offload.optimizer", "offload_optimizer_device"}, &Recipe::offload_optimizer,
                        {{"none", Tier::kDevice}, {"host", Tier::kPinned}, {"cpu", Tier::kPinned}},
                        "where what trains and its optimizer state rest; auto: on the device, or in host memory"),
      K::row(
          {"activation_offloading"}, "true, false or disk",
          "true is the same as offload.layer_inputs: host, disk as disk",
          [](RecipeDraft& r, const ConfigValue& v) {
            const std::string word = v.node.kind == ConfigNode::Kind::kScalar ? v.node.text : "";
            if (word == "disk")
              r.offload_layer_inputs = Tier::kDisk;
            else if (word == "legacy" || to_bool(v))
              r.offload_layer_inputs = Tier::kPinned;
          },
          nullptr),
      K::row(
          {"layer_offloading", "fsdp_offload_params"}, "true or false", "true is the same as offload.base: host",
          [](RecipeDraft& r, const ConfigValue& v) {
            if (to_bool(v)) r.offload_base = Tier::kPinned;
          },
          nullptr),
      K::bytes({"memory.device_limit"}, &Recipe::device_limit,
               "what a rank takes of its device at most; 0: what a GPU has, or its part of half of a CPU's memory"),
      K::bytes({"memory.host_limit"}, &Recipe::host_limit,
               "what a rank takes of host memory at most; 0: its part of half of what is available"),
  };
}

// A yes to one is a no to the other. Without a word about fp16, bf16: false asks for f32, as in other trainers.
void settle_dtype(RecipeDraft& draft, const GivenKeys& keys) {
  const ConfigValue *bf16 = keys.find("bf16"), *fp16 = keys.find("fp16");
  if (draft.bf16 == UseDtype::kYes && draft.fp16 == UseDtype::kYes)
    fail("{}: {}: not together with bf16: true ({}); training computes in one of them, so set the other one to false",
         fp16->node.place, fp16->name, bf16->node.place);
  if (draft.bf16 == UseDtype::kYes || (draft.bf16 == UseDtype::kNo && fp16 == nullptr)) draft.fp16 = UseDtype::kNo;
  if (draft.fp16 == UseDtype::kYes) draft.bf16 = UseDtype::kNo;
}

}  // namespace shardlora
