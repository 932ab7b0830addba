"""Goldens of whole templates: what Jinja2 renders of the same 300 conversations with every template that we write
ourselves, the named ones of src/data/template/named_templates.cpp and those of tests/data/chat/templates.

Made with Python 3.11, jinja2 3.1.6:
    python scripts/goldens/templates.py
A rendering is kept as the first 12 hexadecimal digits of its SHA-256, "-" where Jinja raises. turns.json holds, for the
templates of tests/data/chat/templates and the conversations that call tools, where in the bytes of the whole row each
answer begins: as long as what the messages before it give with the generation prompt, or -1 where the row doesn't begin
with that.
"""
import hashlib
import json
import pathlib
import random
import re

import chat

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/data/chat"

TOOLS = chat.TOOLS + [{"type": "function", "function": {
    "name": "look_up", "description": "Looks <things> up.\nIn a book, that is.",
    "parameters": {"type": "object", "properties": {
        "word": {"type": "string", "description": " What to look for "},
        "shelf": {"type": "string", "enum": ["new", "old"], "default": "old"},
        "where": {"type": "object", "properties": {"page": {"type": ["integer", "null"]}}, "required": ["page"]},
        "tags": {"type": "array", "items": {"type": "string"}}}, "required": ["word"]},
    "return": {"type": "string"}}}]


def call(rng, number):
    arguments = rng.choice([{"a": 1, "b": 2.5}, {"word": chat.text(rng), "tags": ["x", "ü"]}, {}, {"a": [None, True, {"b": "c"}]}])
    return {"id": f"call0000{number}", "type": "function", "function": {"name": rng.choice(["add", "look_up"]), "arguments": arguments}}


def with_tools(rng):
    messages = chat.conversation(rng)
    if messages[-1]["role"] == "assistant":
        messages.append({"role": "user", "content": chat.text(rng, False)})
    calls = [call(rng, i) for i in range(rng.choice([1, 1, 2]))]
    messages.append({"role": "assistant", "content": rng.choice(["", chat.text(rng)]), "tool_calls": calls})
    for c in calls:
        messages.append({"role": "tool", "name": c["function"]["name"], "tool_call_id": c["id"], "content": chat.text(rng)})
    if rng.random() < 0.7:
        messages.append({"role": "assistant", "content": chat.text(rng, False), "reasoning_content": chat.text(rng)})
    return messages


def conversations():
    rng = random.Random(22)
    cases = []
    for i in range(300):
        case = {"messages": with_tools(rng) if i % 5 == 4 else chat.conversation(rng), "prompt": rng.random() < 0.5}
        if i % 5 == 4 or i % 10 == 1:
            case["tools"] = TOOLS[:rng.randint(1, 2)]
        if i % 7 == 3:
            case["variables"] = rng.choice([{"enable_thinking": False}, {"enable_thinking": True}, {"day": "today", "effort": "high"},
                                            {"tools_first": False}, {"builtin_tools": ["browser", "interpreter"]}])
        if i % 11 == 6:  # contents in parts, an assistant that thinks aloud
            for message in case["messages"]:
                if message["role"] == "user":
                    message["content"] = [{"type": "text", "text": message["content"]}, {"type": "text", "text": chat.text(rng)}]
        if i % 11 == 7:
            for message in case["messages"]:
                if message["role"] == "assistant":
                    message["content"] = "<think>\n" + chat.text(rng) + "\n</think>\n\n" + message["content"]
        cases.append(case)
    return cases


def named():
    source = (ROOT / "src/data/template/named_templates.cpp").read_text()
    prelude = re.search(r'kPrelude = R"jinja\((.*?)\)jinja"', source, re.S).group(1)
    rows = re.findall(r'\{"(\w+)",\s*\{[^}]*\},\s*\{[^}]*\},\s*R"jinja\((.*?)\)jinja"\}', source, re.S)
    return {name: prelude + body for name, body in rows}


def begins(template, case):
    def render(messages, prompt):
        return template.render(messages=messages, tools=case.get("tools"), documents=None, bos_token="<s>", eos_token="</s>",
                               add_generation_prompt=prompt, **case.get("variables", {})).encode()
    try:
        row = render(case["messages"], False)
        out = []
        for i, message in enumerate(case["messages"]):
            if message["role"] == "assistant":
                asked = render(case["messages"][:i], True)
                out.append(len(asked) if row.startswith(asked) else -1)
        return out
    except Exception:
        return None


def main():
    templates = named()
    for path in sorted((OUT / "templates").glob("*.jinja")):
        templates[path.name] = path.read_text()
    cases = conversations()
    digests, refused, turns = {}, {}, {}
    for name, source in templates.items():
        template = chat.ENV.from_string(source)
        row = []
        for case in cases:
            try:
                text = template.render(messages=case["messages"], tools=case.get("tools"), documents=None, bos_token="<s>", eos_token="</s>",
                                       add_generation_prompt=case["prompt"], **case.get("variables", {}))
                row.append(hashlib.sha256(text.encode()).hexdigest()[:12])
            except Exception:  # whatever it is, ours must refuse it too
                row.append("-")
        digests[name] = " ".join(row)
        refused[name] = row.count("-")
        if name.endswith(".jinja"):
            turns[name] = [begins(template, case) for case in cases if "tool_calls" in str(case["messages"])]
    print("refused of", len(cases), refused)
    chat.write(OUT / "conversations.json", cases)
    chat.write(OUT / "templates.json", digests)
    chat.write(OUT / "turns.json", turns)


if __name__ == "__main__":
    main()
