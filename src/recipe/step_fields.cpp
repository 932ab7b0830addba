// The keys of a recipe about steps: how rows become batches, and what the optimizer does with a gradient.
#include "recipe/recipe_fields.h"

namespace shardlora {
namespace {

using K = RecipeKinds;

// LLaMA-Factory's recipes give both of its words for packing.
RecipeField packing(const std::string& name) {
  return K::row(
      {name}, "true or false", "the same as sample_packing",
      [](RecipeDraft& r, const ConfigValue& v) { r.sample_packing = to_bool(v) || r.sample_packing; }, nullptr);
}

void read_sampling(RecipeDraft& r, const ConfigValue& v) {
  const std::string word = to_text(v);
  if (word != "random" && word != "group_by_length")
    expected(v, "random or group_by_length; rows come in an order drawn from seed");
  r.group_by_length = word == "group_by_length" || r.group_by_length;
}

void read_max_steps(RecipeDraft& r, const ConfigValue& v) {
  if (to_text(v) == "-1") return;  // Hugging Face's "not given"
  r.max_steps = to_integer(v, 1, kMany);
}

}  // namespace

std::vector<RecipeField> step_fields() {
  return {
      K::flag({"sample_packing"}, &Recipe::sample_packing,
              "several samples in a row of up to sequence_len tokens; each sees itself only"),
      packing("packing"),
      packing("neat_packing"),
      K::flag({"eval_sample_packing", "eval_packing"}, &Recipe::eval_sample_packing,
              "sample_packing in evaluation; not given: the same"),
      K::flag({"group_by_length"}, &Recipe::group_by_length, "samples of similar length share a step"),
      K::row({"train_sampling_strategy"}, "random, group_by_length",
             "group_by_length is the same as group_by_length: true", read_sampling, nullptr),
      K::whole({"micro_batch_size", "per_device_train_batch_size", "batch_size"}, &Recipe::micro_batch_size, 1, 1 << 20,
               "rows of a micro-batch, which go through the model together"),
      K::whole({"max_tokens_per_micro_batch", "max_tokens_per_gpu"}, &Recipe::max_tokens_per_micro_batch, 0, kMany,
               "tokens of a micro-batch at most, in rows of similar length; 0: micro_batch_size rows"),
      K::whole({"global_batch_size"}, &Recipe::global_batch_size, 1, 1 << 24,
               "rows of a step on all ranks; not given: micro_batch_size x gradient_accumulation_steps x ranks"),
      K::row(
          {"gradient_accumulation_steps"}, whole_number(1, 1 << 20),
          "micro-batches of a rank in a step; not together with global_batch_size",
          [](RecipeDraft& r, const ConfigValue& v) { r.gradient_accumulation_steps = to_integer(v, 1, 1 << 20); },
          [](const RecipeDraft& r) {
            return r.global_batch_size ? std::string() : written(r.gradient_accumulation_steps);
          }),
      K::above_zero({"num_epochs", "num_train_epochs"}, &Recipe::num_epochs, 1e6, "how often all rows are trained on"),
      K::row({"max_steps"}, whole_number(1, kMany), "steps of the run, in the place of num_epochs", read_max_steps,
             [](const RecipeDraft& r) { return written(r.max_steps); }),
      K::above_zero({"learning_rate", "lr"}, &Recipe::learning_rate, 1e3, "the peak of the learning rate"),
      K::row({"optimizer", "optim"}, "adamw", "AdamW with its state in f32", read_optimizer,
             [](const RecipeDraft&) { return std::string("adamw"); }),
      K::number({"adam_beta1"}, &Recipe::adam_beta1, 0, 0.999999, "decay of AdamW's mean of gradients"),
      K::number({"adam_beta2"}, &Recipe::adam_beta2, 0, 0.99999999, "decay of AdamW's mean of squared gradients"),
      K::number({"adam_epsilon"}, &Recipe::adam_epsilon, 0, 1,
                "what AdamW adds to the root of its mean of squared gradients"),
      K::number({"weight_decay"}, &Recipe::weight_decay, 0, 1e3,
                "share that weights shrink by in a step, times the learning rate"),
      K::number({"max_grad_norm"}, &Recipe::max_grad_norm, 0, kUnbounded,
                "a gradient of a larger norm is scaled down to this one; 0: never"),
      K::number({"neftune_noise_alpha", "noisy_embedding_alpha"}, &Recipe::neftune_noise_alpha, 0, 1e6,
                "noise on the embeddings while training (NEFTune); 0: none"),
  };
}

}  // namespace shardlora
