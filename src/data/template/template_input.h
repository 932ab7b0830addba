// What a chat template is rendered with.
#pragma once

#include <ctime>
#include <nlohmann/json.hpp>
#include <string>

namespace shardlora {

struct TemplateInput {
  nlohmann::ordered_json messages;
  nlohmann::ordered_json tools;  // null: none
  nlohmann::ordered_json variables =
      nlohmann::ordered_json::object();  // more of the row's own, such as enable_thinking
  std::string bos_token, eos_token;      // count as the template's text
  bool add_generation_prompt = false;
  std::time_t now = 1721952000;  // for strftime_now: 26 Jul 2024, the day that Llama 3's template falls back to
};

}  // namespace shardlora
