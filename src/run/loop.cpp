#include "run/loop.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "base/file.h"
#include "checkpoint/adapter_state.h"
#include "data/preview.h"
#include "recipe/recipe_adapter.h"
#include "run/base_formats.h"
#include "run/evaluation.h"
#include "run/loss_watch.h"
#include "run/profile.h"
#include "run/progress.h"
#include "run/run_directory.h"
#include "run/run_size.h"
#include "run/run_state.h"
#include "run/stop_signal.h"
#include "run/training_data.h"
#include "shard/kept_parameters.h"
#include "shard/warm_up.h"

namespace shardlora {
namespace {

// Bytes of the process that were resident at most.
std::int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

HostStatus status_of(const Ranks& ranks) {
  return {.stop = stop_requested() ? 1 : 0,
          .device_peak_bytes = static_cast<std::int64_t>(ranks.device->memory(Tier::kDevice).total_peak),
          .host_peak_bytes = peak_resident_bytes()};
}

std::string modules_text(const LoraConfig& lora) {
  std::string text = lora.target_pattern.empty() ? fmt::format("{}", fmt::join(lora.target_modules, ", "))
                                                 : fmt::format("what \"{}\" matches", lora.target_pattern);
  if (!lora.layers_to_transform.empty())
    text += fmt::format(" in layers {}", fmt::join(lora.layers_to_transform, ", "));
  if (!lora.rank_pattern.empty() || !lora.alpha_pattern.empty()) text += ", some by patterns of their own";
  return text;
}

std::int64_t trainable_elements(const ParamStore& store) {
  std::int64_t count = 0;
  for (std::size_t u = 0; u < store.units(); ++u) count += store.layout(u).trainable_elements();
  return count;
}

class Run {
 public:
  Run(Ranks& ranks, const Recipe& recipe)
      : ranks_(ranks), recipe_(recipe), base_(BaseModel::open(recipe.base_model)), tokenizer_(open_tokenizer(base_)) {
    check_window(base_.config(), recipe.sequence_len, "sequence_len");
    data_ = load_training_data(recipe, tokenizer_);
    check_same_rows();
    if (!recipe.chat_template.is_models_own())
      chat_template_ = chat_template_of(tokenizer_, recipe.chat_template).source();
    plan();
    open_model();
    // Touches an earlier run's files, so only when all that can fail is done, and every rank has read the adapter to
    // start from, which may be that run's.
    ranks.reductions->barrier();
    if (ranks.first()) {
      Recipe resolved = recipe;
      resolved.quantization = loaded_->quantization;
      directory_.emplace(resolved);
    }
    announce();
  }

  void train() {
    Progress progress(total_steps_, recipe_.logging_steps);
    const LearningRate rates = recipe_.learning_rates(total_steps_);
    Profile profile(ranks_, recipe_.profile);
    const AdamWOptions adamw{recipe_.adam_beta1, recipe_.adam_beta2, recipe_.adam_epsilon, recipe_.weight_decay};
    while (state_->steps < total_steps_ && !state_->early_stopping.stop()) {
      const double rate = rates.at(state_->updates);
      const StepBatch batch = steps_->at(state_->steps);
      const StepResult result = step(batch, adamw_step(adamw, rate, state_->updates + 1));
      const std::int64_t s = ++state_->steps;
      state_->updates += result.updated ? 1 : 0;
      const nlohmann::ordered_json waits = profile.waits_of_step();
      bool stop = false;  // any rank got a signal
      std::vector<std::int64_t> device_bytes, host_bytes;
      for (const HostStatus& host : result.hosts) {
        stop = stop || host.stop != 0;
        device_bytes.push_back(host.device_peak_bytes);
        host_bytes.push_back(host.host_peak_bytes);
      }
      if (directory_) {
        const double tokens_per_second = progress.step_done(s, result.tokens, result.loss, rate);
        nlohmann::ordered_json metrics{{"step", s},
                                       {"epoch", batch.epochs_done},
                                       {"loss", result.loss},
                                       {"grad_norm", result.grad_norm},  // null in a skipped step
                                       {"learning_rate", rate},
                                       {"tokens", result.tokens},
                                       {"target_tokens", result.target_tokens},
                                       {"tokens_per_second", tokens_per_second},
                                       {"peak_device_bytes", device_bytes},
                                       {"peak_host_bytes", host_bytes}};
        if (!waits.is_null()) metrics["waits"] = waits;
        if (scales_loss()) metrics["loss_scale"] = result.loss_scale;
        if (!result.updated) metrics["skipped"] = true;
        directory_->add_metrics(metrics);
      }
      if (const std::string trouble = watch_->add(result.loss, result.target_tokens); !trouble.empty()) {
        progress.end_line();
        spdlog::warn("step {}: {}", s, trouble);
      }
      if (!result.updated) {
        progress.end_line();
        spdlog::info("step {}: the gradients overflowed f16 at a loss scale of {}, so nothing was updated", s,
                     result.loss_scale);
      }
      if (stop) {
        profile.finish();
        save();
        fail(
            "stopped by a signal after step {} of {}; the adapter so far is in {}. This version cannot resume a run: "
            "to go on from it, "
            "start another one with lora_model_dir={}",
            s, total_steps_, recipe_.output_dir, recipe_.output_dir);
      }
      if (evaluates_after(s, batch.ends_epoch)) {
        progress.end_line();
        evaluate(s);
        progress.resume();
        profile.resume();
      }
    }
    progress.end_line();
    profile.finish();
    finish();
  }

 private:
  void open_model() {
    std::optional<Adapter> start;
    if (!recipe_.lora_model_dir.empty()) start = read_adapter(recipe_.lora_model_dir);
    if (start) check_recipe_fits(recipe_, *start, base_.config().tied_embeddings);
    if (start && base_.config().tied_embeddings) tie_saved_modules(*start);
    lora_ = start ? start->config : lora_config(recipe_);
    lora_.dropout = recipe_.lora_dropout.value_or(lora_.dropout);
    loaded_.emplace(ranks_, recipe_, base_, &lora_, training_workload(ranks_, recipe_, limits_));
    if (start) {
      check_adapter(*start, loaded_->model->spec().units());
      set_adapter(*loaded_->store, *start);
    } else {
      check_rules_are_used(recipe_, loaded_->model->spec().units());
      initialise_adapter(*loaded_->store, base_, recipe_.seed);
    }
    step_ = make_train_step(ranks_, *loaded_, recipe_, limits_);
    state_.emplace(RunState{.loss_scale = LossScale::for_dtype(loaded_->model->dtype()),
                            .early_stopping = {recipe_.early_stopping_patience, recipe_.early_stopping_threshold}});
    if (recipe_.load_best_model_at_end) kept_.emplace(*ranks_.device, *loaded_->store);
  }

  nlohmann::ordered_json numerics() const {
    const std::set<std::string> computed_by(ranks_.numerics.begin(), ranks_.numerics.end());
    return {{"shardlora", SHARDLORA_VERSION},
            {"compute_dtype", name_of(loaded_->model->dtype())},
            {"computed_by", computed_by}};
  }

  bool scales_loss() const { return state_->loss_scale.is_dynamic(); }

  // Steps and collectives follow from the rows: ranks with others would wait for ever, or train on a mixture.
  void check_same_rows() {
    Sha256 digest;
    for (const auto* samples : {&data_.train.samples, &data_.held_out.samples})
      for (const Sample& s : *samples) {
        digest.add(std::as_bytes(std::span(s.tokens)));
        digest.add(std::as_bytes(std::span(s.trained)));
      }
    const double mine = static_cast<double>(std::stoull(digest.hex().substr(0, 12), nullptr, 16));  // 48 bits: exact
    const std::vector<std::vector<double>> all = ranks_.exchange({mine});
    for (std::size_t r = 0; r < all.size(); ++r)
      if (all[r] != all[0])
        fail("rank {} has other rows than rank 0; give every host the same dataset files, model and version", r);
  }

  void plan() {
    for (std::size_t i = 0; i < data_.train.samples.size(); ++i)
      data_.train.samples[i].id = static_cast<std::int32_t>(i);
    const BatchOptions options = batch_options(recipe_, ranks_.size());
    global_batch_size_ = options.global_batch_size;
    steps_.emplace(data_.train.samples, options);
    total_steps_ = recipe_.max_steps.value_or(steps_->of_epochs(recipe_.num_epochs));
    held_out_ = evaluation_batches(recipe_, data_.held_out.samples);
    limits_ = steps_->limits(total_steps_);
    include_evaluation(limits_, held_out_);
    watch_.emplace(total_steps_, base_.config().vocab);
  }

  void announce() {
    if (ranks_.first()) {
      spdlog::info("{}", audit_of(data_, recipe_, tokenizer_).text());
      const Sample& first = data_.train.samples.front();
      spdlog::info("what is trained of {}:{}\n{}", first.source, first.line, preview_excerpt(first, tokenizer_));
    }
    const std::int64_t longest_sample = std::max(longest(data_.train.samples), longest(data_.held_out.samples));
    if (longest_sample > base_.config().max_positions)
      spdlog::warn("rows of up to {} tokens, but the model was made for {}", longest_sample,
                   base_.config().max_positions);
    if (!recipe_.lora_model_dir.empty()) spdlog::info("starting from the adapter in {}", recipe_.lora_model_dir);
    spdlog::info("{}; {} rank{}; computing in {}{}", ranks_.device->description(), ranks_.size(),
                 ranks_.size() == 1 ? "" : "s", name_of(loaded_->model->dtype()),
                 scales_loss() ? " with loss scaling" : "");
    spdlog::info("beside the recipe the last bits depend on {}", numerics().dump());
    spdlog::info("base {}: {}", recipe_.base_model, formats_text(loaded_->model->spec()));
    spdlog::info("{}", loaded_->memory_text);
    spdlog::info("adapter: rank {}, alpha {}{}{}{}, on {}; {:.2f} M values", lora_.rank, lora_.alpha,
                 recipe_.lora_alpha_by_rank ? " (2 x lora_rank, as LLaMA-Factory has it without lora_alpha)" : "",
                 lora_.rslora ? ", rank-stabilised" : "",
                 lora_.dropout > 0 ? fmt::format(", dropout {}", lora_.dropout) : "", modules_text(lora_),
                 static_cast<double>(trainable_elements(*loaded_->store)) / 1e6);
    if (recipe_.sample_packing)
      spdlog::info("packed: {:.1f} samples a row, rows {:.1f} % full", steps_->samples_per_row(),
                   100 * steps_->packing_efficiency());
    spdlog::info("{} steps of {} rows, {} a micro-batch", total_steps_, global_batch_size_,
                 recipe_.max_tokens_per_micro_batch > 0
                     ? fmt::format("up to {} tokens", recipe_.max_tokens_per_micro_batch)
                     : fmt::format("{} rows", recipe_.micro_batch_size));
    for (const std::string& warning : size_warnings(recipe_, {.steps = total_steps_,
                                                              .steps_of_epoch = steps_->of_epoch(0),
                                                              .global_batch_size = global_batch_size_,
                                                              .samples = std::ssize(data_.train.samples),
                                                              .held_out = std::ssize(data_.held_out.samples),
                                                              .ranks = ranks_.size()}))
      spdlog::warn("{}", warning);
  }

  // The next step. One that diverged has updated nothing: what was learned before it is kept.
  StepResult step(const StepBatch& batch, const AdamWStep& adamw) {
    try {
      std::optional<PhiloxKey> noise;
      if (lora_.dropout > 0 || recipe_.neftune_noise_alpha > 0)
        noise = noise_key(recipe_.seed, static_cast<std::uint32_t>(batch.epoch));
      return step_->run(batch.micro_batches, adamw, recipe_.max_grad_norm, state_->loss_scale, noise,
                        [this] { return status_of(ranks_); });
    } catch (const Diverged& diverged) {
      save();
      fail("step {}: {} The adapter as it was before this step is in {}", state_->steps + 1, diverged.what(),
           recipe_.output_dir);
    }
  }

  bool evaluates_after(std::int64_t step, bool ends_epoch) {
    if (held_out_.empty() || recipe_.eval_strategy == EvalStrategy::kNo) return false;
    const std::int64_t interval = evaluation_interval(recipe_, total_steps_, steps_->of_epoch(0));
    return step == total_steps_ || (interval > 0 && step % interval == 0) ||
           (ends_epoch && recipe_.eval_strategy == EvalStrategy::kEpoch);
  }

  void evaluate(std::int64_t step) {
    const StepResult result = step_->evaluate(held_out_);
    spdlog::info("step {}: eval loss {:.4f} over {} target tokens", step, result.loss, result.target_tokens);
    if (directory_)
      directory_->add_metrics(
          {{"step", step}, {"eval_loss", result.loss}, {"eval_target_tokens", result.target_tokens}});
    if (!std::isfinite(result.loss))
      spdlog::warn("step {}: the eval loss is no number; look at the held-out rows, or lower learning_rate", step);
    if (const std::string trouble = watch_->add_evaluation(step, result.loss); !trouble.empty())
      spdlog::warn("step {}: {}", step, trouble);
    if (state_->early_stopping.add(step, result.loss) && kept_) kept_->keep();
    if (state_->early_stopping.stop() && step < total_steps_)
      spdlog::info("stopping early after step {} of {}: no better eval loss since step {} ({:.4f})", step, total_steps_,
                   state_->early_stopping.best_step(), state_->early_stopping.best_loss());
  }

  void finish() {
    const bool is_best = kept_ && state_->early_stopping.best_step() > 0;
    if (is_best) {
      kept_->restore();
      spdlog::info("the adapter is that of step {}, which had the lowest eval loss ({:.4f})",
                   state_->early_stopping.best_step(), state_->early_stopping.best_loss());
      if (directory_)
        directory_->add_metrics({{"best_step", state_->early_stopping.best_step()},
                                 {"best_eval_loss", state_->early_stopping.best_loss()}});
    }
    save();
    if (const std::string trouble = is_best ? "" : watch_->verdict(); !trouble.empty())
      spdlog::warn("adapter written to {}, but {}", recipe_.output_dir, trouble);
    else
      spdlog::info("adapter written to {}", recipe_.output_dir);
  }

  // The end of a run: gathering the adapter, unit by unit, takes some of the memory that steps had.
  void save() {
    step_.reset();
    save_adapter(recipe_.output_dir, *loaded_->store, *ranks_.reductions, lora_, recipe_.base_model);
    if (directory_) {
      write_file_atomically(directory_->path() / kNumericsFile, numerics().dump(2) + "\n");
      if (!chat_template_.empty()) write_file_atomically(directory_->path() / kChatTemplateFile, chat_template_);
    }
    ranks_.reductions->barrier();  // no rank says that it is written before it is
  }

  Ranks& ranks_;
  const Recipe& recipe_;
  const BaseModel base_;
  const Tokenizer tokenizer_;
  std::optional<RunDirectory> directory_;  // of rank 0
  std::string chat_template_;              // the one it is trained with, where that is not the model's own
  TrainingData data_;
  LoraConfig lora_;
  std::optional<LoadedModel> loaded_;
  std::optional<TrainingSteps> steps_;
  std::optional<LossWatch> watch_;
  std::vector<SampleRefs> held_out_;
  StepLimits limits_;
  std::unique_ptr<TrainStep> step_;
  std::optional<RunState> state_;
  std::optional<KeptParameters> kept_;  // of the lowest eval loss, with load_best_model_at_end
  std::int64_t total_steps_ = 0, global_batch_size_ = 0;
};

}  // namespace

BatchOptions batch_options(const Recipe& recipe, int ranks) {
  const std::int64_t accumulated = recipe.micro_batch_size * recipe.gradient_accumulation_steps * ranks;
  return {.global_batch_size = recipe.global_batch_size.value_or(accumulated),
          .micro_batch = {recipe.micro_batch_size, recipe.max_tokens_per_micro_batch},
          .pack_to = recipe.pack_to(),
          .group_by_length = recipe.group_by_length,
          .seed = recipe.seed};
}

std::vector<SampleRefs> evaluation_batches(const Recipe& recipe, const std::vector<Sample>& held_out) {
  return cut_micro_batches(rows_of(held_out, recipe.eval_pack_to()),
                           {recipe.micro_batch_size, recipe.max_tokens_per_micro_batch});
}

std::unique_ptr<TrainStep> make_train_step(Ranks& ranks, const LoadedModel& loaded, const Recipe& recipe,
                                           const StepLimits& limits) {
  return std::make_unique<TrainStep>(*ranks.device, *loaded.model, *loaded.store, *ranks.gathers, *ranks.reductions,
                                     limits,
                                     StepOptions{.recompute = loaded.memory.recompute,
                                                 .wave = loaded.memory.wave,
                                                 .layer_inputs = loaded.memory.layer_inputs,
                                                 .scratch = recipe.output_dir,
                                                 .streamer = loaded.streamer(),
                                                 .neftune_alpha = static_cast<float>(recipe.neftune_noise_alpha)});
}

Workload training_workload(Ranks& ranks, const Recipe& recipe, const StepLimits& limits) {
  return {.micro_batches = (limits.micro_batches + ranks.size() - 1) / ranks.size(),
          .warm_up =
              [&ranks, limits](const ParamStore& store) {
                const StepTraffic traffic = traffic_of(store, limits, ranks.size());
                gather_in_every_size(*ranks.device, *ranks.reductions, traffic.gathered);
                send_in_every_size(*ranks.device, *ranks.reductions, traffic.sent);
              },
          .rehearse = [&ranks, &recipe, limits](const LoadedModel& loaded) -> std::shared_ptr<void> {
            struct Work {
              std::unique_ptr<TrainStep> step;
              std::optional<KeptParameters> best;
            };
            const auto work = std::make_shared<Work>(make_train_step(ranks, loaded, recipe, limits));
            if (recipe.load_best_model_at_end) work->best.emplace(*ranks.device, *loaded.store);
            return work;
          }};
}

void train(Ranks& ranks, const Recipe& recipe) {
  watch_stop_signals();
  Run(ranks, recipe).train();
}

}  // namespace shardlora
