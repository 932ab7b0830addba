// What generate and chat are both told: which model speaks, and how its tokens are chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "data/template_choice.h"
#include "generate/sampling.h"
#include "recipe/recipe.h"

namespace shardlora {

struct GenerationOptions {
  std::string model, adapter, chat_template, system, format, offload = "auto", backend = "auto";
  std::int64_t new_tokens = 256;
  Sampling sampling;

  // `defaults` are told as such by --help.
  static std::shared_ptr<GenerationOptions> add_to(CLI::App& verb, const Sampling& defaults);
  // The few keys of a recipe that loading a model needs. What is not said about the base is the adapter's to say.
  Recipe recipe() const;
  // What was asked for; else the one that the adapter was trained with; else the model's own.
  TemplateChoice template_choice() const;
};

}  // namespace shardlora
