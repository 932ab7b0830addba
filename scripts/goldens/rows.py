"""Goldens of rows as people really have them: tests/data/chat/rows.json.

Made with Python 3.11, jinja2 3.1.6:
    python scripts/goldens/rows.py
Each case is a row of a file and what Jinja2 renders of it with every template that can write it, after it was brought to
the form that Hugging Face's documentation asks for: without null keys (what TRL's remove_none_values does), arguments and
tools as objects. For a template that does not go through content in parts these are joined; for DeepSeek's kind arguments
are text and the content beside a call is null. bos_token and eos_token are SmolLM2's.
    templates   our own, for styles that those of tests/data/chat/templates lack
    cases       {"row", "texts": {template: text}}
"""
import json
import pathlib

import chat

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/chat"

# Joins everything with +: None is an error. Calls as Hermes and Qwen write them.
PLAIN = """{% if tools %}Tools:{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
{% endif %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% for call in m.tool_calls or [] %}
<tool_call>
{{ '{"name": "' + call.function.name + '", "arguments": ' }}{{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}"""
# Prints what there is: None is a word. Parts of a user's content are gone through.
PRINTS = """{% for m in messages %}<|im_start|>{{ m.role }}{% if m.name is defined %} {{ m.name }}{% endif %}
{% if m.content is string or m.content is none %}{{ m.content }}{% elif m.role == 'user' %}{% for part in m.content %}{% if part.type == 'text' %}
- {{ part.text }}{% endif %}{% endfor %}{% else %}{{ m.content }}{% endif %}{% if 'tool_calls' in m %}{% for call in m.tool_calls %}
CALL {{ call.function.name }} {{ call.function.arguments | tojson }}{% endfor %}{% endif %}<|im_end|>
{% endfor %}"""
# Writes calls only where the content is null, and their arguments as the text that they are.
NULLS = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and m.content is none %}{% for call in m.tool_calls %}{{ call.type + ' ' + call.function.name + ' ' + call.function.arguments }}
{% endfor %}{% else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}"""
TEMPLATES = {"plain": PLAIN, "prints": PRINTS, "nulls": NULLS}
TAKES_PARTS = {"prints": ["user"], "parts.jinja": ["user", "assistant"]}

TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks up.", "parameters": {
    "type": "object", "properties": {"word": {"type": "string", "enum": ["a", None]}}, "required": ["word"]}}}
TOOL_OF_A_TABLE = {"type": "function", "strict": None, "function": {"name": "look_up", "description": "Looks up.", "return": None, "parameters": {
    "type": "object", "$defs": None, "properties": {"word": {"type": "string", "enum": ["a", None], "default": None}, "page": None},
    "required": ["word"]}}}
BARE = dict(TOOL, function=dict(TOOL["function"], parameters=json.dumps(TOOL["function"]["parameters"])))
ASKED, RESULT, ANSWER = ({"role": "user", "content": "What is a?"}, {"role": "tool", "name": "look_up", "tool_call_id": "call00001", "content": "A letter."},
                         {"role": "assistant", "content": "A letter."})


def call(arguments, **more):
    return {"id": "call00001", "type": "function", "function": {"name": "look_up", "arguments": arguments}, **more}


def calling(arguments, **more):
    return {"role": "assistant", "content": None, "tool_calls": [call(arguments)], **more}


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


OBJECT = {"word": "a", "deep": [{"x": None, "y": [None, 1]}]}
ROWS = [
    # As pandas writes a Parquet file: every message has every key.
    {"id": None, "tools": [TOOL_OF_A_TABLE], "conversations": None, "messages": [
        {"role": "user", "content": "What is a?", "name": None, "tool_calls": None, "tool_call_id": None},
        {"role": "assistant", "content": None, "name": None, "tool_call_id": None, "tool_calls": [
            {"id": "call00001", "type": "function", "index": None, "function": {"name": "look_up", "arguments": OBJECT}}]},
        {"role": "tool", "content": "A letter.", "name": "look_up", "tool_calls": None, "tool_call_id": "call00001"},
        {"role": "assistant", "content": "A letter.", "name": None, "tool_calls": None, "tool_call_id": None}]},
    {"messages": None, "system": None, "tools": None, "chat_template_kwargs": None, "conversations": [
        {"from": "human", "value": "What is a?", "weight": None}, {"from": "gpt", "value": "A letter.", "weight": None}]},
    # Arguments as text, with nulls that are the user's; tools in every spelling.
    {"tools": [json.dumps(TOOL)], "messages": [ASKED, calling('{"word": "a", "page": null}'), RESULT, ANSWER]},
    {"tools": json.dumps([TOOL]), "messages": [ASKED, calling('{"word": "a", "page": null}'), RESULT, ANSWER]},
    {"tools": json.dumps(TOOL), "messages": [ASKED, calling(json.dumps({"word": "a"})), RESULT, ANSWER]},
    {"tools": [BARE], "messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": json.dumps([call({"word": "ü"})])}, RESULT, ANSWER]},
    {"tools": [], "messages": [ASKED, calling({}), RESULT, ANSWER]},
    # No arguments at all, and an empty list of calls.
    {"messages": [ASKED, calling(""), RESULT, dict(ANSWER, tool_calls=[])]},
    # Content in parts.
    {"messages": [{"role": "system", "content": parts("Be ", "brief.")}, {"role": "user", "content": parts("What", " is a?")},
                  {"role": "assistant", "content": parts("A ", "letter.")}]},
    {"messages": [ASKED, calling({"word": "a"}), dict(RESULT, content=parts("A ", "letter.")), ANSWER]},
]


def without_nulls(value):
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def loaded(value):
    return json.loads(value) if isinstance(value, str) else value


def in_form(row, template):
    """What a template is rendered with."""
    row = without_nulls(row)
    tools = [loaded(t) for t in (lambda t: t if isinstance(t, list) else [t])(loaded(row.get("tools", [])))]
    for tool in tools:
        tool["function"]["parameters"] = loaded(tool["function"]["parameters"])
    messages = []
    for m in row.get("messages") or [{"role": {"human": "user", "gpt": "assistant"}[m["from"]], "content": m["value"]} for m in row["conversations"]]:
        m = dict(m)
        calls = loaded(m.pop("tool_calls", []))
        if isinstance(m.get("content"), list) and m["role"] not in TAKES_PARTS.get(template, []):
            m["content"] = "".join(part["text"] for part in m["content"])
        for c in calls:
            c["function"]["arguments"] = loaded(c["function"]["arguments"] or "{}")
            if template == "nulls":
                c["function"]["arguments"] = json.dumps(c["function"]["arguments"], ensure_ascii=False)
        if calls:
            m = {"role": m["role"], "content": None if template == "nulls" else "", "tool_calls": calls}
        messages.append(m)
    return {"messages": messages, "tools": tools or None}


def main():
    templates = dict(TEMPLATES)
    for name in ("chatml_tools.jinja", "header_tools.jinja", "inst_tools.jinja", "parts.jinja"):
        templates[name] = (OUT / "templates" / name).read_text()
    cases = []
    for row in ROWS:
        texts = {}
        for name, source in templates.items():
            try:
                texts[name] = chat.render(source, in_form(json.loads(json.dumps(row)), name) | {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"})
            except Exception:
                continue  # roles in an order that the template refuses
            assert "None" not in texts[name], texts[name]
        assert len(texts) >= 4, (row, list(texts))
        cases.append({"row": row, "texts": texts})
    (OUT / "rows.json").write_text(json.dumps({"templates": TEMPLATES, "cases": cases}, indent=1, ensure_ascii=False) + "\n")


main()
