#include "data/template/named_templates.h"

#include <algorithm>

namespace shardlora {
namespace {

// In front of every template below.
//  said(m)    what a message says, its parts one after the other
//  opening    what a leading system message says; none: there is no such message
//  turns      the messages behind it: user and assistant
//  no_question  what to raise where a system message has no user's turn behind it that could hold it; else none
constexpr std::string_view kPrelude = R"jinja({% macro said(m) %}
{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}
{% endmacro %}
{% if tools %}{{ raise_exception('this template has no place for tools; use the template of a model that has') }}{% endif %}
{% set opening = none %}
{% set turns = messages %}
{% if messages and messages[0].role == 'system' %}
{% set opening = said(messages[0]) %}
{% set turns = messages[1:] %}
{% endif %}
{% set no_question = none %}
{% if opening and (not turns or turns[0].role != 'user') %}
{% set no_question = "this template writes a system message into the user's first turn, so that turn must be next" %}
{% endif %}
{% for m in turns %}
{% if m.role not in ['user', 'assistant'] or m.content is not defined or m.content is none or m.tool_calls %}
{{ raise_exception('message ' ~ (loop.index + messages | length - turns | length) ~ ': this template takes what a user and an assistant say, with a system message in front, and nothing else') }}
{% endif %}
{% endfor %}
)jinja";

const std::vector<NamedTemplate> kTemplates = {
    {"chatml", {"yi", "hermes", "qwen3_nothink"}, {"<|im_start|>", "<|im_end|>"}, R"jinja(
{%- if opening is not none %}{{ '<|im_start|>system\n' + opening + '<|im_end|>\n' }}{% endif %}
{% for m in turns %}{{ '<|im_start|>' + m.role + '\n' + said(m) + '<|im_end|>\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})jinja"},

    {"qwen_25", {"qwen", "qwen2", "qwen25", "qwen_2", "qwen2_5"}, {"<|im_start|>", "<|im_end|>"}, R"jinja(
{%- set opening = opening if opening is not none else 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' %}
{{ '<|im_start|>system\n' + opening + '<|im_end|>\n' }}
{%- for m in turns %}{{ '<|im_start|>' + m.role + '\n' + said(m) + '<|im_end|>\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})jinja"},

    // Thoughts are kept behind the last question only; there the model writes a block of them, empty or not.
    {"qwen3", {"qwen_3"}, {"<|im_start|>", "<|im_end|>"}, R"jinja(
{%- if opening is not none %}{{ '<|im_start|>system\n' + opening + '<|im_end|>\n' }}{% endif %}
{% set ns = namespace(asked=-1) %}
{% for m in turns %}{% if m.role == 'user' %}{% set ns.asked = loop.index0 %}{% endif %}{% endfor %}
{% for m in turns %}
{% set text = said(m) %}
{{ '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' %}{% generation %}
{% set thoughts = m.reasoning_content if m.reasoning_content is string else '' %}
{% if thoughts == '' and '</think>' in text %}
{% set thoughts = text.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
{% set text = text.split('</think>')[-1].lstrip('\n') %}
{% endif %}
{% if loop.index0 > ns.asked %}{{ '<think>\n' + thoughts.strip('\n') + '\n</think>\n\n' }}{% endif %}
{{ text + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}
{%- else %}{{ text + '<|im_end|>\n' }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %})jinja"},

    {"llama3",
     {"llama_3", "llama3_1", "llama3_2", "llama3_3"},
     {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     R"jinja(
{%- macro header(role) %}{{ '<|start_header_id|>' + role + '<|end_header_id|>\n\n' }}{% endmacro %}
{{ bos_token }}
{%- if opening is not none %}{{ header('system') + opening | trim + '<|eot_id|>' }}{% endif %}
{% for m in turns %}{{ header(m.role) + said(m) | trim + '<|eot_id|>' }}{% endfor %}
{% if add_generation_prompt %}{{ header('assistant') }}{% endif %})jinja"},

    {"llama2", {"llama_2"}, {}, R"jinja(
{%- if no_question %}{{ raise_exception(no_question) }}{% endif %}
{%- for m in turns %}
{% if m.role == 'user' %}{{ bos_token + '[INST] ' }}
{%- if loop.first and opening is not none %}{{ '<<SYS>>\n' + opening + '\n<</SYS>>\n\n' }}{% endif %}
{{ said(m) | trim + ' [/INST]' }}
{%- else %}{{ ' ' + said(m) | trim + ' ' + eos_token }}{% endif %}
{% endfor %})jinja"},

    {"mistral_v1", {}, {}, R"jinja({{ bos_token }}
{%- if no_question %}{{ raise_exception(no_question) }}{% endif %}
{%- for m in turns %}
{% if m.role == 'user' %}{{ ' [INST] ' + (opening + '\n\n' if loop.first and opening is not none else '') + said(m) + ' [/INST]' }}
{%- else %}{{ ' ' + said(m) | trim + eos_token }}{% endif %}
{% endfor %})jinja"},

    {"mistral_v2v3", {"mistral", "mistral_v2", "mistral_v3"}, {"[INST]", "[/INST]"}, R"jinja({{ bos_token }}
{%- if no_question %}{{ raise_exception(no_question) }}{% endif %}
{%- for m in turns %}
{% if m.role == 'user' %}{{ '[INST] ' + (opening + '\n\n' if loop.first and opening is not none else '') + said(m) + '[/INST]' }}
{%- else %}{{ ' ' + said(m) | trim + eos_token }}{% endif %}
{% endfor %})jinja"},

    {"mistral_v3_tekken", {"mistral_nemo"}, {"[INST]", "[/INST]"}, R"jinja({{ bos_token }}
{%- if no_question %}{{ raise_exception(no_question) }}{% endif %}
{%- for m in turns %}
{% if m.role == 'user' %}{{ '[INST]' + (opening + '\n\n' if loop.first and opening is not none else '') + said(m) + '[/INST]' }}
{%- else %}{{ said(m) + eos_token }}{% endif %}
{% endfor %})jinja"},

    {"mistral_v7_tekken",
     {"mistral_small"},
     {"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"},
     R"jinja({{ bos_token }}
{%- if opening is not none %}{{ '[SYSTEM_PROMPT]' + opening + '[/SYSTEM_PROMPT]' }}{% endif %}
{% for m in turns %}
{% if m.role == 'user' %}{{ '[INST]' + said(m) + '[/INST]' }}
{%- else %}{{ said(m) + eos_token }}{% endif %}
{% endfor %})jinja"},

    {"gemma", {"gemma2", "gemma3", "gemma_2", "gemma_3"}, {"<start_of_turn>", "<end_of_turn>"}, R"jinja({{ bos_token }}
{%- if no_question %}{{ raise_exception(no_question) }}{% endif %}
{%- for m in turns %}
{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else 'user') + '\n' }}
{%- if loop.first and opening is not none %}{{ opening | trim + '\n\n' }}{% endif %}
{{ said(m) | trim + '<end_of_turn>\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %})jinja"},

    {"phi_3", {"phi", "phi3", "phi_35", "phi3_5"}, {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}, R"jinja(
{%- if opening is not none %}{{ '<|system|>\n' + opening + '<|end|>\n' }}{% endif %}
{% for m in turns %}{{ ('<|user|>' if m.role == 'user' else '<|assistant|>') + '\n' + said(m) + '<|end|>\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})jinja"},

    {"phi_4", {"phi4"}, {"<|im_start|>", "<|im_sep|>", "<|im_end|>"}, R"jinja(
{%- if opening is not none %}{{ '<|im_start|>system<|im_sep|>' + opening + '<|im_end|>' }}{% endif %}
{% for m in turns %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + said(m) + '<|im_end|>' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %})jinja"},

    {"deepseek_v2", {"deepseek"}, {}, R"jinja({{ bos_token }}
{%- if opening is not none %}{{ opening + '\n\n' }}{% endif %}
{% for m in turns %}
{% if m.role == 'user' %}{{ 'User: ' + said(m) + '\n\n' }}
{%- else %}{{ 'Assistant: ' + said(m) + eos_token }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %})jinja"},

    {"deepseek_v3", {"deepseek3", "deepseekr1"}, {"<｜User｜>", "<｜Assistant｜>"}, R"jinja({{ bos_token }}
{%- if opening is not none %}{{ opening }}{% endif %}
{% for m in turns %}
{% if m.role == 'user' %}{{ '<｜User｜>' + said(m) }}
{%- else %}{{ '<｜Assistant｜>' + said(m) + eos_token }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %})jinja"},

    {"cohere",
     {"command_r"},
     {"<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"},
     R"jinja(
{%- set start = '<|START_OF_TURN_TOKEN|>' %}
{{ bos_token }}
{%- if opening is not none %}{{ start + '<|SYSTEM_TOKEN|>' + opening | trim + '<|END_OF_TURN_TOKEN|>' }}{% endif %}
{% for m in turns %}{{ start + ('<|USER_TOKEN|>' if m.role == 'user' else '<|CHATBOT_TOKEN|>') + said(m) | trim + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}
{% if add_generation_prompt %}{{ start + '<|CHATBOT_TOKEN|>' }}{% endif %})jinja"},

    {"granite", {"granite3"}, {"<|start_of_role|>", "<|end_of_role|>"}, R"jinja(
{%- if opening is not none %}{{ '<|start_of_role|>system<|end_of_role|>' + opening + eos_token + '\n' }}{% endif %}
{% for m in turns %}{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + said(m) + eos_token + '\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %})jinja"},

    {"zephyr", {"tinyllama"}, {}, R"jinja(
{%- if opening is not none %}{{ '<|system|>\n' + opening + eos_token + '\n' }}{% endif %}
{% for m in turns %}{{ '<|' + ('user' if m.role == 'user' else 'assistant') + '|>\n' + said(m) + eos_token + '\n' }}{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})jinja"},

    {"vicuna", {}, {}, R"jinja({{ bos_token }}
{%- if opening is not none %}{{ opening + ' ' }}{% endif %}
{% for m in turns %}
{% if m.role == 'user' %}{{ 'USER: ' + said(m) + ' ' }}
{%- else %}{{ 'ASSISTANT: ' + said(m) + eos_token }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %})jinja"},

    {"alpaca", {}, {}, R"jinja({{ bos_token }}
{%- if opening is not none %}{{ opening + '\n\n' }}{% endif %}
{% for m in turns %}
{% if m.role == 'user' %}{{ '### Instruction:\n' + said(m) + '\n\n' }}
{%- else %}{{ '### Response:\n' + said(m) + eos_token + '\n\n' }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %})jinja"},
};

}  // namespace

std::string NamedTemplate::source() const { return std::string(kPrelude) + std::string(body); }

const std::vector<NamedTemplate>& named_templates() { return kTemplates; }

const NamedTemplate* find_named_template(std::string_view name) {
  const auto found = std::find_if(kTemplates.begin(), kTemplates.end(), [&](const NamedTemplate& t) {
    return t.name == name || std::find(t.aliases.begin(), t.aliases.end(), name) != t.aliases.end();
  });
  return found == kTemplates.end() ? nullptr : &*found;
}

}  // namespace shardlora
