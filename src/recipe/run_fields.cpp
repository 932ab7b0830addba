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

}  // namespace

std::vector<RecipeField> run_fields() {
  return {
      K::whole({"logging_steps"}, &Recipe::logging_steps, 1, kMany,
               "steps between progress lines, where no terminal shows them live"),
      K::text({"output_dir"}, &Recipe::output_dir, "the folder for adapter, metrics and log"),
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
      K::row({"gradient_checkpointing"}, "true or false",
             "compute a layer's activations again in the backward pass: less memory, same bits", read_checkpointing,
             [](const RecipeDraft& r) { return written(r.gradient_checkpointing); }),
      K::row(
          {"disable_gradient_checkpointing"}, "true or false", "the opposite of gradient_checkpointing",
          [](RecipeDraft& r, const ConfigValue& v) { r.gradient_checkpointing = !to_bool(v); }, nullptr),
      K::only({"deterministic"}, {"strict", "true"}, "strict, the only mode of this version",
              "the same inputs give the same bits", [](const RecipeDraft&) { return std::string("strict"); }),
      K::choice<Sharding>({"sharding.strategy"}, &Recipe::sharding,
                          {{"full_shard", Sharding::kSharded},
                           {"FULL_SHARD", Sharding::kSharded},
                           {"zero3", Sharding::kSharded},
                           {"replicate", Sharding::kReplicated},
                           {"ddp", Sharding::kReplicated},
                           {"no_shard", Sharding::kReplicated},
                           {"NO_SHARD", Sharding::kReplicated}},
                          "full_shard: every rank holds its share of the base; replicate: all of it"),
      K::bytes({"memory.device_limit"}, &Recipe::device_limit,
               "what a rank takes of its device's memory at most; 0: no limit"),
      K::bytes({"memory.host_limit"}, &Recipe::host_limit,
               "what a rank takes of pinned host memory at most; 0: no limit"),
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
