#include "cli/generation_options.h"

#include <filesystem>

#include "train/run_directory.h"

namespace shardlora {

std::shared_ptr<GenerationOptions> GenerationOptions::add_to(CLI::App& verb, const Sampling& defaults) {
  auto o = std::make_shared<GenerationOptions>();
  o->sampling = defaults;
  verb.add_option("--model", o->model, "a Hugging Face folder or a GGUF file")->required()->type_name("PATH");
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
  verb.add_option("--format", o->format, "how the base rests")
      ->check(CLI::IsMember({"nf4", "none"}))
      ->capture_default_str();
  verb.add_option("--backend", o->backend, "auto: GPUs where there are some")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  return o;
}

Recipe GenerationOptions::recipe() const {
  Recipe recipe;
  recipe.base_model = model;
  recipe.quantization.format = format == "nf4" ? BaseFormat::kNF4 : BaseFormat::kNone;
  recipe.backend = backend == "cpu" ? Backend::kCpu : backend == "cuda" ? Backend::kCuda : Backend::kAuto;
  return recipe;
}

TemplateChoice GenerationOptions::template_choice() const {
  if (!chat_template.empty()) return {.name = chat_template};
  const std::filesystem::path trained = std::filesystem::path(adapter) / kChatTemplateFile;
  if (!adapter.empty() && std::filesystem::exists(trained)) return {.name = trained.string()};
  return {};
}

}  // namespace shardlora
