// The keys of a recipe about the chat template.
#include "train/recipe_fields.h"

namespace shardlora {
namespace {

// What is wrong with the choice, with the line of the key that shows it.
void check(const RecipeDraft& r, const ConfigValue& v) {
  try {
    check_template_choice(r.chat_template);
  } catch (const Error& error) {
    fail("{}: {}: {}", v.node.place, v.name, error.what());
  }
}

}  // namespace

std::vector<ConfigField<RecipeDraft>> template_fields() {
  return {
      // Before chat_template, which may need it.
      {"chat_template_jinja",
       {"custom_chat_template"},
       [](RecipeDraft& r, const ConfigValue& v) { r.chat_template.jinja = to_text(v); },
       [](const RecipeDraft& r) { return r.chat_template.jinja.empty() ? "" : yaml_text(r.chat_template.jinja); }},
      {"chat_template",
       {"template"},
       [](RecipeDraft& r, const ConfigValue& v) {
         r.chat_template.name = to_text(v);
         check(r, v);
       },
       [](const RecipeDraft& r) { return yaml_text(r.chat_template.name); }},
  };
}

}  // namespace shardlora
