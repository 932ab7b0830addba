#include "data/template/chat_template.h"

#include "base/error.h"
#include "data/template/interpreter.h"
#include "data/template/syntax.h"
#include "data/template/template_input.h"

namespace shardlora {
namespace {

constexpr std::int64_t kSteps = 2'000'000;

// Bytes of all strings: a long row may take longer.
std::int64_t text_bytes(const nlohmann::ordered_json& json) {
  if (json.is_string()) return static_cast<std::int64_t>(json.get_ref<const std::string&>().size());
  std::int64_t bytes = 0;
  if (json.is_structured()) {
    for (const auto& item : json) bytes += text_bytes(item);
  }
  return bytes;
}

Rendered rendered(const Text& text) {
  Rendered out;
  out.text = text.bytes();
  std::size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    out.ranges.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(run.end), run.origin});
    begin = run.end;
  }
  return out;
}

}  // namespace

ChatTemplate::ChatTemplate(const std::string& source, std::string name)
    : template_(std::make_unique<Template>(parse_template(source, name))), source_(source), name_(std::move(name)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

bool ChatTemplate::has_generation() const { return template_->has_generation; }

Rendered ChatTemplate::render(const TemplateInput& input) const {
  Interpreter interpreter(kSteps + text_bytes(input.messages) + text_bytes(input.tools));
  const Origin data{Origin::Kind::kData, -1};
  try {
    for (const auto& [name, value] : input.variables.items()) interpreter.define(name, value_of(value, data));
    interpreter.define("messages", value_of_messages(input.messages));
    interpreter.define("tools", value_of(input.tools, {.kind = Origin::Kind::kData, .part = Origin::kTools}));
    interpreter.define("documents", Value());
    interpreter.define("add_generation_prompt", input.add_generation_prompt);
    if (!input.bos_token.empty()) interpreter.define("bos_token", Value::text(input.bos_token));
    if (!input.eos_token.empty()) interpreter.define("eos_token", Value::text(input.eos_token));
    interpreter.set_time(input.now);
    return rendered(interpreter.run(*template_));
  } catch (const TemplateFault& error) {
    fail("{}:{}: {}", name_, interpreter.line(), error.what());
  }
}

}  // namespace shardlora
