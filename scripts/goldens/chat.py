"""Goldens of chat templates: what Jinja2 renders with Hugging Face's settings.

Made with Python 3.11, jinja2 3.1.6, gguf 0.19.0 (for the template inside the GGUF file):
    python scripts/goldens/chat.py [--gguf SmolLM2-135M-Instruct.Q4_1.gguf] [--tokenizers FOLDER] [--out tests/data/chat]
FOLDER holds <name>/tokenizer_config.json of models whose template must not be copied here: of their renderings only the
SHA-256 goes into families.json.
"""
import argparse
import datetime
import hashlib
import json
import pathlib
import random

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    # Our constant in place of today.
    env.globals["strftime_now"] = lambda form: datetime.datetime(2024, 7, 26).strftime(form)
    return env


ENV = environment()


def render(template, variables):
    return ENV.from_string(template).render(**variables)


PIECES = [
    "Hello", "world", " ", "  ", "\n", "\n\n", "\t", "naïve café", "日本語のテキスト", "🙂🏳️‍🌈", "Привет", "العربية", "x = 1\n    y = 2",
    "{{ not a tag }}", "{% nor this %}", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "'quotes' \"double\"", "back\\slash",
    "\u00a0nbsp", "\u3000wide", "e\u0301", "1,234.5", "- item", "</think>", "<think>", "\r\n", "a" * 40, "&<>", "\u2028", "end.",
]


def text(rng, allow_empty=True):
    count = rng.randint(0 if allow_empty else 1, 5)
    return "".join(rng.choice(PIECES) for _ in range(count))


def conversation(rng):
    messages = []
    kind = rng.random()
    if kind < 0.4:
        messages.append({"role": "system", "content": text(rng)})
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": text(rng)})
        messages.append({"role": "assistant", "content": text(rng)})
    if rng.random() < 0.3:
        messages.pop()
    return messages


CHAT = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Hi <b>&\"'</b>"},
    {"role": "assistant", "content": "Hello\n\nthere "},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "  Ciao!  "},
]
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Add <two> numbers", "parameters": {
    "type": "object", "properties": {"a": {"type": "number", "default": 1.5}, "b": {"type": "integer"}}, "required": ["a", "b"],
    "additionalProperties": False, "nothing": None}}}]
TOOL_CHAT = [
    {"role": "user", "content": "1+2?"},
    {"role": "assistant", "content": "", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2, "zwei", None, True, 1e-7, 1e22]}}}]},
    {"role": "tool", "name": "add", "content": "3", "tool_call_id": "c1"},
    {"role": "assistant", "content": "3 it is", "reasoning_content": "so\n"},
]

# Small snippets, one feature or corner each.
EXPRESSIONS = """
1 + 2 * 3 - 4 / 2
7 // 2 ~ '|' ~ -7 // 2 ~ '|' ~ -7 % 3 ~ '|' ~ 7 % -3
2 ** 3 ** 2
-2 ** 2
1.0 ~ ' ' ~ 0.1 + 0.2 ~ ' ' ~ 1e16 ~ ' ' ~ 1e-5 ~ ' ' ~ 123456789012345680.0 ~ ' ' ~ 10 / 2
true ~ false ~ none ~ True ~ None
[1, 'a', "it's", 'say "x"', none, true, 1.5, [], {}, (), (1,), (1, 2)]
{'a': 1, 'b': [1, 2], "c": {'d': none}}
'tab\\there\\nline \\\\ \\x41 \\u00e9 \\' "'
"a" 'b' "c"
not true or true and false
not none
1 < 2 < 3
1 < 3 < 2
1 == 1.0 and true == 1
'a' in 'cat' and 'x' not in 'cat'
2 in [1, 2] and 'k' in {'k': 1}
'b' if false else 'c'
'x' if false
('x' if false) is undefined
missing
missing is defined
missing | default('d') ~ ('' | default('e')) ~ ('' | default('e', true)) ~ (none | default('f'))
messages | length
messages[0].role ~ messages[-1]['content'] ~ messages[0]['missing']
messages[10] is undefined
messages[1:3] | map(attribute='role') | join(',')
messages[::-1] | map(attribute='role') | list
messages[:-1] | length
'héllo wörld'[1:4] ~ 'héllo'[-2:] ~ 'héllo'[::-1] ~ 'héllo'[1] ~ 'abc'[5:] ~ 'abcdef'[::2] ~ 'abcdef'[4:1:-1]
[1,2,3][-2:] ~ [1,2,3][::-1]
messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | list
messages | selectattr('role', '==', 'user') | list | length
messages | rejectattr('role', 'in', ['user', 'system']) | map(attribute='content') | join(' + ')
messages | selectattr('tool_calls') | list
messages | selectattr('tool_calls', 'defined') | list
[1, 2, 3, 4] | select('even') | list
[1, 0, 2, none] | select | list
[1, 2, 3] | reject('odd') | list
['a', 'B'] | map('upper') | list
[' a ', 'b '] | map('trim') | join('-')
[{'a': 1}, {}] | map(attribute='a', default='none') | list
'  trim me \\n' | trim ~ '|'
'xxabcxx' | trim('x')
'  a '.strip() ~ '|' ~ '  a '.lstrip() ~ '|' ~ '  a '.rstrip() ~ '|' ~ 'xyaxy'.strip('yx')
'a,b,,c'.split(',')
' a  b c '.split()
'a b c d'.split(' ', 2)
'a b  c d'.split(none, 1)
'a,b,c'.rsplit(',', 1)
'a\\nb\\r\\nc\\n'.splitlines()
'a\\nb\\n'.splitlines(true)
'abc'.startswith('ab') ~ 'abc'.endswith('bc') ~ 'abc'.startswith(('x', 'a'))
'aXbX'.replace('X', '--') ~ 'aaa'.replace('a', 'b', 2) ~ ('aXbX' | replace('X', '')) ~ 'ab'.replace('', '.')
'Hello World'.upper() ~ 'Hello World'.lower() ~ "they're bill's".title() ~ 'hELLO'.capitalize()
'Grüße ÉCOLE' | upper ~ ('Grüße ÉCOLE' | lower)
', '.join(['a', 'b'])
'abcabc'.find('c') ~ 'abc'.find('z') ~ 'abcabc'.count('bc')
'pre-x'.removeprefix('pre-') ~ 'x.txt'.removesuffix('.txt')
'12'.isdigit() ~ 'a'.isdigit() ~ ' '.isspace()
'12' | int + 1
'x' | int ~ ' 7 ' | int ~ 3.9 | int ~ ('1.5' | float) ~ ('z' | float)
[3, 1, 2] | sort ~ ([3, 1, 2] | sort(reverse=true)) ~ (['b', 'A', 'c'] | sort | join)
[1, 2, 2, 1] | unique | list
[3, 1, 2] | min ~ [3, 1, 2] | max ~ [3, 1, 2] | sum
[1, 2, 3] | first ~ [1, 2, 3] | last ~ ([] | first is defined)
[1, 2, 3] | reverse | list ~ ('abc' | reverse)
3.567 | round(2) ~ 2.5 | round ~ -3 | abs
{'b': 1, 'a': 2} | dictsort
{'b': 1, 'a': 2}.items() | list
{'b': 1, 'a': 2} | items | list
{'b': 1, 'a': 2}.keys() | list ~ ({'b': 1}.values() | list) ~ {'b': 1}.get('b') ~ {'b': 1}.get('x') ~ {'b': 1}.get('x', 'y')
'a\\nb\\n\\nc' | indent ~ '|' ~ ('a\\nb' | indent(2, true))
'<a href="x">' | e ~ '<b>' | safe
tools | tojson
tools | tojson(indent=2)
{'k': [], 'e': {}, 'u': 'é\\u2028"\\\\/\\x7f\\x01', 'f': 1.0, 'n': none} | tojson
{'k': [1, {'a': 2}], 'e': {}, 'l': []} | tojson(indent=4)
{'b': 1, 'a': [1, 2]} | tojson(separators=(',', ':'), sort_keys=true)
'é🙂' | tojson(ensure_ascii=true)
tools
messages[0]
1 is number ~ 'a' is string ~ [] is sequence ~ {} is mapping ~ 'a' is iterable ~ 1 is iterable ~ none is none ~ true is boolean
true is number ~ 1 is integer ~ true is integer ~ 1.0 is float ~ 3 is odd ~ 4 is divisibleby 2 ~ 4 is divisibleby(3)
1 is not string and 'a' is not none
none is not none
'a' is in ['a'] ~ 'A' is upper ~ 'a' is lower ~ 1 is eq 1 ~ 1 is sameas 1 ~ true is true ~ 1 is true ~ false is false
x is defined and x is not none
range(3) | list ~ range(1, 7, 2) | list ~ range(3, 0, -1) | list
dict(a=1, b='x')
dict({'a': 1}, b=2)
'a' * 3 ~ [0] * 2 ~ 3 * 'ab'
[1] + [2, 3]
'a' ~ 1 ~ none ~ [1]
'%s' ~ '{}'
1 if 2 else 3 if 4 else 5
(1, 2) ~ (1) ~ ()
messages.0.role
messages[0].content.strip().upper().split('.')[0]
'abc' == 'abc' and [1, [2]] == [1, [2]] and {'a': 1} == {'a': 1} and [1] != (1,)
[1, 2] < [1, 3] and 'a' < 'b'
-1 | abs
- 1 + 2
+ 3
1 - -1
'x' | default('y') | upper ~ 'z'
'\\u0130'.lower() | length
'ab\\x1ccd'.split()
'it''s'
'%s is %d of %s' % ('a', 2, [1]) ~ '%5.2f|%-6s|%06d|%x|%+d' % (3.14159, 'ab', -42, 255, 7) ~ '100%%' % ()
'%(a)s-%(b)r' % {'a': 1, 'b': 'x'} ~ '%s' % 'one' ~ '%r' % ('q',)
'{} {1}'.format(1, 2) if false else '{} {}'.format('a', [1]) ~ '{0}{1}{0}'.format('x', 'y') ~ '{n}:{d:>6}|{d:<6}|{d:^6}|'.format(n='k', d='v')
'{:.2f} {:05d} {:x} {:,}'.format(1.005, 42, 255, 1) if false else '{:.2f} {:05d} {:x} {{}}'.format(2.5, 42, 255)
'%s, %s!' | format('Hello', 'World') ~ ('%(x)d' | format(x=3))
'a-b-c'.partition('-') ~ 'a-b-c'.rpartition('-') ~ 'abc'.partition('-')
'abcabc'.find('c', 3) ~ 'abcabc'.rfind('b') ~ 'abcabc'.index('b') ~ 'abcabc'.count('a', 1) ~ 'abc'.find('x')
'7'.zfill(3) ~ '-7'.zfill(4) ~ 'a'.ljust(3) ~ '|' ~ 'a'.rjust(3, '.') ~ 'ab'.center(5, '*') ~ 'abc'.center(6, '*')
'aBc'.swapcase() ~ 'abc'.isalpha() ~ 'ab1'.isalnum() ~ '12'.isnumeric() ~ '1²'.isdigit() ~ '1²'.isdecimal() ~ 'AB'.isupper() ~ 'aB'.islower()
'a b  c d'.rsplit(None, 1) ~ ' a b '.rsplit() ~ 'a b c'.split(' ', 1) ~ 'a,b,c'.rsplit(',', 1)
'ab' | center(5) ~ '|' ~ ('one two, three-four' | wordcount) ~ ('a long sentence of words' | truncate(12)) ~ ('short' | truncate(4))
('abcdefghij klm' | truncate(9, true)) ~ ('abc def ghi jkl mno' | truncate(10, false, '..', 0))
[1, 2, 3, 4, 5] | batch(2) | list ~ ([1, 2, 3] | batch(2, 0) | list) ~ ([1, 2, 3, 4, 5] | slice(3) | list) ~ ([1, 2, 3, 4] | slice(3, 'x') | list)
messages | groupby('role') | map('first') | list
('<b>' | safe) + '<i>' ~ ('<' | e) ~ ('a' + ('<' | safe)) ~ (('<' | safe) ~ '<')
('<b>' | safe | upper | trim) + '&' ~ (messages[1].content | e | e)
none | selectattr('a') | list ~ (none | map(attribute='a') | list) ~ ('' | reject('odd') | list)
{'b': 1}.copy() ~ [1].copy() ~ range(2, 5) | list
dict(**{'a': 1}) ~ range(*[1, 3]) | list
strftime_now('%d %b %Y') ~ strftime_now('%Y-%m-%d')
""".strip("\n").split("\n")

BLOCKS = [
    "{% for m in messages %}{{ loop.index }}/{{ loop.length }}:{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}",
    "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}<{{ m.role }}>{{ loop.nextitem.role if loop.nextitem is defined }};{% endfor %}",
    "{% for m in messages %}{{ loop.cycle('a', 'b') }}{{ loop.changed(m.role) }} {% endfor %}",
    "{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }}{% else %}none{% endfor %}",
    "{% for m in [] %}x{% else %}none{% endfor %}",
    "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }},{% endfor %}",
    "{% for (a, b) in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}",
    "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}{% for c in 'héy' %}[{{ c }}]{% endfor %}{% for x in missing %}x{% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% set x = 0 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=0, y='a') %}{% for i in [1, 2, 3] %}{% set ns.x = ns.x + i %}{% set ns.z = i %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z }}",
    "{% set a, b = 1, 'two' %}{{ a }}{{ b }}",
    "{% if true %}{% set inside = 1 %}{% endif %}{{ inside }}",
    "{% set block %}\n  text {{ 1 + 1 }}\n{% endset %}[{{ block }}]",
    "{% set block | trim | upper %}  text  {% endset %}[{{ block }}]",
    "{% macro greet(name, mark='!') %}Hi {{ name }}{{ mark }}{% endmacro %}{{ greet('A') }} {{ greet('B', mark='?') }} {{ greet(name='C') }}{{ greet() }}",
    "{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(5) }}",
    "{% set g = 'global' %}{% macro m() %}{{ g }}{% set g2 = 1 %}{% endmacro %}{{ m() }}{{ g2 }}",
    "{% if false %}a{% elif 0 %}b{% elif 'x' %}c{% else %}d{% endif %}",
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% endif %}",
    "a\n{% if true %}\n  b\n{% endif %}\nc\n",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n\n",
    "a {% if true %} b {% endif %} c",
    "a  {%- if true -%}  b  {%- endif -%}  c",
    "a\n\n  {{- 'x' -}}  \n\nb",
    "a\n  {{ 'x' }}\n b",
    "  {%+ if true %}x{% endif +%}\n y",
    "  {% if true +%}\n x{% endif %}",
    "x {# comment #}\n  {# indented #}\n y {#- tight -#} z",
    "{# first #}\nsecond\n  {# a\n b #}\nthird",
    "{% raw %}{{ raw }} {% if %}{% endraw %} after",
    "a\n {% raw -%}  \n x {%- endraw %}\n b",
    "{% raw %}\nkept\n  {% endraw %}\nnext",
    "{% for x in [1] %}\r\n  line {{ x }}\r\n{% endfor %}\r\nend\r",
    "\n\n  leading {{ 1 }} trailing  \n\n\n",
    "{{ '}}' }}{{ '{%' }}{{ {'a': {'b': 1}}['a']['b'] }}{{ {'a': {}} }}",
    "{{'no space'}}{%if 1%}tight{%endif%}",
    "{{ 'multi\nline' }}",
    "{% generation %}{% set q = 1 %}gen{{ q }}{% endgeneration %}{{ q }}",
    "{% for n in [{'v': 1, 'c': [{'v': 2, 'c': [{'v': 3}]}]}, {'v': 4}] recursive %}{{ loop.depth }}{{ loop.depth0 }}:{{ n.v }}({% if n.c %}{{ loop(n.c) }}{% endif %}){% endfor %}",
    "{% macro box(t, w=1) %}<{{ t }}|{{ caller(w) }}>{% endmacro %}{% for x in ['a', 'b'] %}{% call(n) box(x, w=2) %}{{ x }}{{ n * 2 }}{% endcall %}{% endfor %}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %} in {% call m() %}side{% endcall %}{% endcall %}",
    "{% macro all(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ all(1, 2, 3, k='v') }}{{ all(*[1, 2], **{'x': 3}) }}{{ all(1) }}",
    "{% for x in [1, 2] %}{% macro inner(y) %}{{ x }}{{ y }}{% endmacro %}{{ inner('!') }}{% endfor %}",
    "{% set fs = [] %}{% macro a() %}A{% endmacro %}{% macro b(x) %}B{{ x }}{% endmacro %}{% set fs = fs + [a] %}{% set fs = fs + [b] %}{{ fs[0]() }}{{ fs[1](2) }}",
    "{% filter upper %}a{{ 'b' }}{% endfilter %}{% filter replace('a', 'x') | trim %}  banana {% endfilter %}",
    "{% with a = 1, b = 'x' %}{{ a }}{{ b }}{% endwith %}{{ a }}{% with %}{% set q = 2 %}{{ q }}{% endwith %}{{ q }}",
    "{% if false %}{{ 1 | nofilter }}{{ 1 is notest }}{% endif %}ok",
    "{%- if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}none{% endif %}",
    "{% set x %}{{ '<' | safe }}{% endset %}{{ x + '<' }}{% macro m() %}{{ '<' | safe }}{% endmacro %}{{ m() + '<' }}",
    "{% for m in messages if m.role == 'user' or loop is defined %}{{ m.role }}{% endfor %}",
    "{% for a, b in messages | groupby('role') %}{{ a }}:{{ b | length }};{% endfor %}",
    "{% for row in range(5) | batch(2, '-') %}{{ row | join }}/{% endfor %}",
    "{%- for m in messages %}\n    {{- '<' + m['role'] + '>\\n' }}\n    {%- if m.content is string %}\n        {{- m.content | trim }}\n    {%- endif %}\n    {{- '</s>\\n' }}\n{%- endfor %}\n",
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 1) %}{% endif %}{% if m.role == 'user' %}{{ '[INST] ' + m.content.strip() + ' [/INST]' }}{% elif m.role == 'assistant' %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
    "{% set loop_messages = messages %}{% if messages[0]['role'] == 'system' %}{% set system_message = '<<' + messages[0]['content'] | trim + '>>\\n' %}{% set loop_messages = messages[1:] %}{% else %}{% set system_message = '' %}{% endif %}{% for m in loop_messages %}{{ (system_message if loop.first else '') ~ m.role ~ ': ' ~ m.content ~ '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
    "{%- macro params(p, level=0) -%}\n  {%- for name, spec in p.items() -%}\n    {{ '  ' * level }}{{ name }}: {{ spec.type if spec.type is defined else 'any' }}{{ '' if loop.last else ',' }}\n  {% endfor -%}\n{%- endmacro -%}\n{% if tools %}{% for t in tools %}{{ t.function.name }}({{ params(t.function.parameters.properties) }}){% endfor %}{% endif %}",
]

TOOL_BLOCKS = [
    "{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }} {{ c.function.arguments | tojson }} {{ c.function.arguments }}{% endfor %}{% elif m.role == 'tool' %}<tool>{{ m.content }}</tool>{% else %}{{ m.content }}{% endif %}{% if m.reasoning_content is defined %}<think>{{ m.reasoning_content | trim }}</think>{% endif %}\n{% endfor %}",
    "{{ messages[1:2] | map(attribute='tool_calls.0.function.name') | list }}{{ messages[1].tool_calls[0]['function']['arguments']['b'][1] }}",
    "{{ messages | tojson }}",
    "{{ messages }}",
]

FAILING = [
    "{{ raise_exception('no such role') }}", "{{ missing.attribute }}", "{{ 1 + 'a' }}", "{{ 1 / 0 }}", "{% for x in 1 %}{% endfor %}",
    "{{ messages.append(1) }}", "{{ missing() }}", "{{ 'a' < 1 }}", "{{ 1 in 'a' }}", "{{ none | length }}", "{{ x | nofilter }}",
    "{{ x is notest }}", "{% if true %}", "{% endif %}", "{{ 1", "{{ 'a }}", "{% unknowntag %}", "{{ 1 2 }}", "{% for %}{% endfor %}",
    "{# open", "{% set x.y = 1 %}", "{{ (1 }}", "{{ [1 }}", "{% break %}", "{{ 'x'.nomethod() }}", "{{ }}", "{% if %}{% endif %}",
    "{{ loop(1) }}", "{% for x in [1] %}{{ loop([]) }}{% endfor %}", "{{ '%d' % 'x' }}", "{{ '%s %s' % 'x' }}", "{{ '{}'.format() }}", "{{ 'abc'.index('x') }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% if true %}{{ 1 | nofilter }}{% endif %}", "{% call 1 %}{% endcall %}",
    "{{ missing + 'x' }}", "{{ none.attribute.other }}", "{{ {'a': 1}.update({}) }}", "{{ range(1000000) }}",
]


def main():
    parser = argparse.ArgumentParser()
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--gguf", default=pathlib.Path.home() / ".cache/shardlora/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--tokenizers", default=root.parent / "shared/data/tokenizers")
    parser.add_argument("--out", default=root / "tests/data/chat")
    options = parser.parse_args()
    out = pathlib.Path(options.out)

    variables = {"messages": CHAT, "tools": TOOLS, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
    snippets = []
    for source in ["{{ " + e + " }}" for e in EXPRESSIONS] + BLOCKS:
        snippets.append({"template": source, "messages": "chat", "expected": render(source, variables)})
    for source in TOOL_BLOCKS:
        snippets.append({"template": source, "messages": "tool_chat", "expected": render(source, {**variables, "messages": TOOL_CHAT})})
    for source in FAILING:
        try:
            result = render(source, variables)
        except Exception:  # any kind: the point is that it fails
            continue
        raise SystemExit(f"does not fail in Jinja: {source}: {result!r}")
    write(out / "snippets.json", {"chat": CHAT, "tool_chat": TOOL_CHAT, "tools": TOOLS, "snippets": snippets, "failing": FAILING})

    from gguf import GGUFReader
    field = GGUFReader(options.gguf).fields["tokenizer.chat_template"]
    template = bytes(field.parts[field.data[0]]).decode()
    rng = random.Random(20)
    conversations = []
    for i in range(240):
        messages, prompt = conversation(rng), rng.random() < 0.5
        expected = render(template, {"messages": messages, "add_generation_prompt": prompt, "bos_token": "<|im_start|>",
                                     "eos_token": "<|im_end|>", "tools": None})
        conversations.append({"messages": messages, "prompt": prompt, "expected": expected})
    write(out / "smollm2.json", {"template": template, "conversations": conversations})

    if pathlib.Path(options.tokenizers).exists():
        families(pathlib.Path(options.tokenizers), out)


def families(folder, out):
    rng = random.Random(21)
    cases = []
    for i in range(60):
        messages = conversation(rng)
        tools = None
        if i % 4 == 0:
            tools = TOOLS
        if i % 5 == 0:
            messages = messages + TOOL_CHAT if messages[-1]["role"] == "assistant" else TOOL_CHAT
        cases.append({"messages": messages, "tools": tools, "prompt": i % 2 == 0})
    hashes = {}
    for config in sorted(folder.glob("*/tokenizer_config.json")):
        loaded = json.loads(config.read_text())
        template = loaded.get("chat_template")
        if not template:
            continue
        word = lambda v: v["content"] if isinstance(v, dict) else v
        tokens = {k: word(loaded[k]) for k in ("bos_token", "eos_token") if loaded.get(k)}
        name = config.parent.name
        hashes[name] = [
            hashlib.sha256(render(template, {"messages": c["messages"], "tools": c["tools"], "documents": None,
                                             "add_generation_prompt": c["prompt"], **tokens}).encode()).hexdigest() for c in cases]
    write(out / "families.json", {"cases": cases, "sha256": hashes})


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
