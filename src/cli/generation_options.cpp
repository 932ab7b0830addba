#include "cli/generation_options.h"

#include <spdlog/spdlog.h>

#include <filesystem>
#include <optional>

#include "base/file.h"
#include "checkpoint/adapter_config.h"
#include "checkpoint/hub_cache.h"
#include "run/run_directory.h"

namespace shardlora {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfig = 1 << 20;  // bytes

// What an adapter says it was trained on.
std::string base_of(const fs::path& adapter) {
  const std::string config = (adapter / "adapter_config.json").string();
  const std::string base = parse_adapter_config(read_text(config, kMaxConfig), config).base_model_name;
  if (base.empty()) fail("{}: names no base model; give --model", config);
  try {
    find_model(base);
  } catch (const Error& error) {
    fail("{}: the adapter was trained on {}, which cannot be found from here; give --model. ({})", config, base,
         error.what());
  }
  return base;
}

// How the base rested in the adapter's run. Known of adapters that were trained here.
std::optional<Quantization> trained_on(const fs::path& adapter) {
  const fs::path recipe = adapter / kResolvedFile;
  std::error_code ignored;
  if (!fs::exists(recipe, ignored)) return {};
  return load_recipe(recipe.string()).quantization;
}

}  // namespace

std::shared_ptr<GenerationOptions> GenerationOptions::add_to(CLI::App& verb, const Sampling& defaults) {
  auto o = std::make_shared<GenerationOptions>();
  o->sampling = defaults;
  verb.add_option("--model", o->model,
                  "a Hugging Face folder, a GGUF file or a name in the hub's cache; else the adapter's base")
      ->type_name("MODEL");
  verb.add_option("--adapter", o->adapter, "a PEFT adapter")->type_name("DIR");
  verb.add_option("--chat-template", o->chat_template,
                  "a name such as chatml, or a .jinja file; else the adapter's, else the model's own")
      ->type_name("NAME");
  verb.add_option("--system", o->system, "what the system says first")->type_name("TEXT");
  verb.add_option("--max-new-tokens", o->new_tokens, "of an answer, at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb.add_option("--temperature", o->sampling.temperature, "0: always the most likely token; higher is bolder")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  verb.add_option("--top-p", o->sampling.top_p, "draw only from the most likely tokens that reach this probability")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  verb.add_option("--seed", o->sampling.seed, "of the draws: the same seed gives the same text")->capture_default_str();
  verb.add_option("--format", o->format, "how the base rests; else as trained, or stored; or nf4")
      ->check(CLI::IsMember(base_formats()));
  verb.add_option("--offload", o->offload, "where the base rests; auto: layers without room on the device elsewhere")
      ->check(CLI::IsMember({"auto", "none", "host", "disk"}))
      ->capture_default_str();
  verb.add_option("--backend", o->backend, "auto: GPUs where there are some")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  return o;
}

Recipe GenerationOptions::recipe() const {
  if (model.empty() && adapter.empty())
    throw UsageError("--model is missing: a folder, a GGUF file, or --adapter, which names its own base");
  Recipe recipe;
  recipe.base_model = model.empty() ? base_of(adapter) : model;
  const std::optional<Quantization> trained = adapter.empty() ? std::nullopt : trained_on(adapter);
  recipe.quantization = trained.value_or(Quantization{.format = kFourBit});
  if (!format.empty()) recipe.quantization.format = format;
  recipe.quantization.by_name = trained || !format.empty();
  recipe.backend = backend == "cpu" ? Backend::kCpu : backend == "cuda" ? Backend::kCuda : Backend::kAuto;
  if (offload != "auto")
    recipe.offload_base = offload == "none" ? Tier::kDevice : offload == "host" ? Tier::kPinned : Tier::kDisk;
  if (model.empty() || (trained && format.empty()))
    spdlog::info(
        "base {}{}", recipe.base_model,
        trained && format.empty() ? fmt::format(", {}, as the adapter was trained", recipe.quantization.format) : "");
  return recipe;
}

TemplateChoice GenerationOptions::template_choice() const {
  if (!chat_template.empty()) return {.name = chat_template};
  const std::filesystem::path trained = std::filesystem::path(adapter) / kChatTemplateFile;
  if (!adapter.empty() && std::filesystem::exists(trained)) return {.name = trained.string()};
  return {};
}

}  // namespace shardlora
