// A chat template: Jinja text that turns messages into the text a model was trained on. Our own interpreter of the part
// of Jinja that chat templates use, with Hugging Face's settings (trim_blocks, lstrip_blocks, loop controls, tojson
// without HTML escapes, raise_exception); what it doesn't know is an Error with the template's line. Steps, depth and
// output are counted, so no template runs for ever. Every character of the result knows whether the template wrote it
// or a message did. strftime_now tells a fixed day unless the input names one: today's date in a prompt would make
// every run another one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/template/origin.h"

namespace shardlora {

struct Rendered {
  struct Range {
    std::uint32_t begin, end;  // bytes of text; empty where a message's content is
    Origin origin;
  };
  std::string text;
  std::vector<Range> ranges;  // cover the text, in order
};

struct TemplateInput;  // template_input.h
struct Template;       // the parsed text

class ChatTemplate {
 public:
  // `name` opens errors: "model.gguf: chat template". Text that doesn't parse is an Error.
  ChatTemplate(const std::string& source, std::string name);
  ChatTemplate(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // An Error names the template's line: what raise_exception says, a wrong type, too many steps.
  Rendered render(const TemplateInput& input) const;
  // The text it was made of.
  const std::string& source() const { return source_; }
  // Whether it marks with {% generation %} what the model says.
  bool has_generation() const;

 private:
  std::unique_ptr<Template> template_;
  std::string source_, name_;
};

}  // namespace shardlora
