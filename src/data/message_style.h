// How a chat template takes what templates take in different ways, found by trying it: most write a call's arguments
// with tojson and want an object, some join them to a string and want their JSON as text; a message with calls and no
// content has "" for most and null for some; content in parts is gone through by some and printed as a list by most.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "data/template/chat_template.h"

namespace shardlora {

struct TemplateInput;

class MessageStyle {
 public:
  // `settings`: what every rendering has, such as bos_token.
  MessageStyle(const ChatTemplate& chat, const TemplateInput& settings);

  // Changes one message of a row, which is in the form of formats/message_form.h. Parts become their joined text,
  // unless the template goes through those of this role itself.
  void apply(nlohmann::ordered_json& message) const;

 private:
  std::set<std::string> takes_parts_;  // roles
  bool text_arguments_ = false, null_content_ = false;
};

}  // namespace shardlora
