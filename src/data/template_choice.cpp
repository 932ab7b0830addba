#include "data/template_choice.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/config_fields.h"
#include "base/error.h"
#include "base/file.h"
#include "data/template/chat_template.h"
#include "data/template/named_templates.h"
#include "data/tokenizer.h"

namespace shardlora {
namespace {

constexpr std::string_view kDefault = "tokenizer_default", kFallback = "tokenizer_default_fallback_";
constexpr std::uint64_t kMaxBytes = 1 << 20;

bool is_file(std::string_view name) {
  return name.ends_with(".jinja") || name.ends_with(".jinja2") || name.ends_with(".j2");
}
bool is_template_text(std::string_view text) {
  return text.find("{{") != std::string_view::npos || text.find("{%") != std::string_view::npos;
}

// Names whose tokens the model has; all without a model.
std::vector<std::string> usable_names(const Tokenizer* tokenizer) {
  std::vector<std::string> names;
  for (const NamedTemplate& t : named_templates()) {
    const bool usable = tokenizer == nullptr ||
                        std::all_of(t.tokens.begin(), t.tokens.end(),
                                    [&](std::string_view token) { return tokenizer->id_of(token).has_value(); });
    if (usable) names.emplace_back(t.name);
  }
  return names;
}

std::string shown(const std::vector<std::string>& names) { return fmt::format("{}", fmt::join(names, ", ")); }

ChatTemplate read_file(const std::string& path) { return {read_text(path, kMaxBytes), path}; }

ChatTemplate by_name(const Tokenizer& tokenizer, const NamedTemplate& named) {
  for (const std::string_view token : named.tokens) {
    if (!tokenizer.id_of(token))
      fail(
          "chat_template: {} writes \"{}\", which is no token of this model, so it could not tell where a turn ends; "
          "take the model's own template (tokenizer_default) or one whose tokens it has: {}",
          named.name, token, shown(usable_names(&tokenizer)));
  }
  return {named.source(), fmt::format("chat template {}", named.name)};
}

const NamedTemplate& known(std::string_view name) {
  const NamedTemplate* named = find_named_template(name);
  const std::vector<std::string> names = usable_names(nullptr);
  if (named == nullptr)
    fail("unknown chat template \"{}\"{}; one of: {}, {}, {}chatml, jinja with chat_template_jinja, or a .jinja file",
         name, did_you_mean(name, names), kDefault, shown(names), kFallback);
  return *named;
}

}  // namespace

void check_template_choice(const TemplateChoice& choice) {
  const std::string& name = choice.name;
  if (!choice.jinja.empty() && name != "jinja" && name != kDefault)
    fail("chat_template_jinja and chat_template: {} are two templates; remove one of them", name);
  if (name == "jinja" && choice.jinja.empty())
    fail("chat_template: jinja needs chat_template_jinja, a file or the template itself");
  if (name == kDefault || name == "jinja" || is_file(name)) return;
  known(name.starts_with(kFallback) ? std::string_view(name).substr(kFallback.size()) : std::string_view(name));
}

ChatTemplate chat_template_of(const Tokenizer& tokenizer, const TemplateChoice& choice) {
  check_template_choice(choice);
  if (!choice.jinja.empty() && is_template_text(choice.jinja)) return {choice.jinja, "chat_template_jinja"};
  if (!choice.jinja.empty()) return read_file(choice.jinja);
  if (is_file(choice.name)) return read_file(choice.name);
  const bool falls_back = choice.name.starts_with(kFallback);
  if (choice.name == kDefault || falls_back) {
    if (!tokenizer.chat_template().empty()) return {tokenizer.chat_template(), "chat template"};
    if (falls_back) return by_name(tokenizer, known(std::string_view(choice.name).substr(kFallback.size())));
    fail(
        "the model has no chat template (a base model seldom has): take its instruct version, or choose one whose "
        "tokens it has with chat_template: {}, or a .jinja file",
        shown(usable_names(&tokenizer)));
  }
  return by_name(tokenizer, known(choice.name));
}

}  // namespace shardlora
