// Which chat template a run uses: the model's own, one that we know by name, or the user's file or text.
#pragma once

#include <string>

namespace shardlora {

class ChatTemplate;
class Tokenizer;

struct TemplateChoice {
  // tokenizer_default                  the model's own
  // tokenizer_default_fallback_chatml  the model's own, chatml where it has none; any other name in chatml's place
  // chatml, llama3, …                  of named_templates.h
  // my.jinja                           a file
  // jinja                              what `jinja` says
  std::string name = "tokenizer_default";
  std::string jinja{};  // a file or the template itself; given alone it is the choice
  bool is_models_own() const { return name == "tokenizer_default" && jinja.empty(); }
};

// An Error where no model could make the choice work: an unknown name, jinja without a template.
void check_template_choice(const TemplateChoice& choice);

// An Error where there is no such template, or where it writes tokens that the model lacks.
ChatTemplate chat_template_of(const Tokenizer& tokenizer, const TemplateChoice& choice = {});

}  // namespace shardlora
