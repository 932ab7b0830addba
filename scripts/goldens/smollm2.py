"""Goldens of the real SmolLM2-135M-Instruct in float32, from the same GGUF that shardlora reads.

torch 2.15.0, transformers 5.23.0, tokenizers 0.23.3, jinja2 3.1.6, gguf 0.19.0; command: scripts/make_goldens smollm2
The model: $SHARDLORA_TEST_MODEL, else where scripts/get_model puts it.

Writes tests/data/smollm2/model.json:
  "sha256"    of the GGUF
  "text"      {"tokens": ids of a fixed text, "losses": of tokens[1:] given all before, "mean_loss"}
  "greedy"    per prompt {"prompt": the user's text, "tokens": ids of the rendered chat, "continuation": at most 64 ids, ends
              with <|im_end|> where the model ends, "margins": top-1 minus top-2 logit of every step}
Prompts with a near-tie (a margin below 0.01), where two correct programs may part, are refused.
"""

import hashlib
import json
import os
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"
import torch
from gguf import GGUFReader
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GgufConfig
from transformers import logging as transformers_logging

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "smollm2" / "model.json"
LENGTH, END = 64, 2
TEXT = """The lighthouse at Orrin Point was built in 1874, after three ships had been lost on the reef in a single winter.
Its keeper climbed the 212 steps twice a day: once at dusk, to light the lamp, and once at dawn, to put it out. He wrote
everything down. "Wind from the north-west, heavy sea, no sail in sight," says the entry of 3 March 1881; "oil: 14 pints."

What do we learn from such a book? First, that most days are alike. Second, that the exceptions matter: the night when the
glass broke, the week without supplies, the morning when a whale lay on the beach. A reader who wants averages will find
them (the lamp burned about 9.5 hours a night), but whoever wants to know how people lived must read the odd pages.

def pints(hours, rate=1.5):
    \"\"\"Oil for one night.\"\"\"
    return round(hours * rate, 1)

The keeper's daughter, Méabh, kept a diary of her own. She was nine years old and counted birds: 31 gulls, 4 cormorants and
a heron. She also drew a map of the island, with north at the bottom, because that is how the island looks from the lamp room.
Historians have used her map to show that the old landing place lay further to the east than the official charts claim. In
2009 divers found the remains of a stone pier exactly where she had drawn it.
"""
PROMPTS = [
    "What is the capital of France?",
    "Write two sentences about the sea.",
    "List three uses of a paper clip.",
    "Explain in simple words why the sky is blue.",
    "What is 17 + 25?",
    "Give me a recipe for pancakes.",
    "Translate 'good morning' into Spanish.",
    "Write a Python function that reverses a string.",
    "Who wrote Romeo and Juliet?",
    "How long should I boil an egg?",
]


def model_path():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SHARDLORA_TEST_MODEL") or Path(cache) / "shardlora" / "SmolLM2-135M-Instruct.Q4_1.gguf")


def field(reader, name):
    return reader.fields[name].contents()


def gguf_tokenizer(reader):
    """The GGUF's vocabulary and merges with the pre-tokenizer that `smollm` stands for (transformers loses the digit split)."""
    tokens, types = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field(reader, "tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token, kind in zip(tokens, types) if kind == 3])
    return tokenizer


def render(reader, messages):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(field(reader, "tokenizer.chat_template"))
    return template.render(messages=messages, add_generation_prompt=True, bos_token="<|im_start|>", eos_token="<|im_end|>")


@torch.no_grad()
def text_losses(model, tokens):
    logits = model(input_ids=torch.tensor([tokens])).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(tokens[1:]), reduction="none")


@torch.no_grad()
def greedy(model, tokens):
    inputs, cache, continuation, margins = torch.tensor([tokens]), None, [], []
    while len(continuation) < LENGTH and END not in continuation:
        output = model(input_ids=inputs, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        best = output.logits[0, -1].topk(2)
        continuation.append(int(best.indices[0]))
        margins.append(round(float(best.values[0] - best.values[1]), 4))
        inputs = best.indices[:1].reshape(1, 1)
    return continuation, margins


def main():
    transformers_logging.set_verbosity_error()
    path = model_path()
    reader = GGUFReader(path)
    tokenizer = gguf_tokenizer(reader)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32,
                                                 quantization_config=GgufConfig(dequantize=True)).eval()
    text = tokenizer.encode(TEXT).ids
    losses = text_losses(model, text)
    rows = []
    for prompt in PROMPTS:
        tokens = tokenizer.encode(render(reader, [{"role": "user", "content": prompt}])).ids
        continuation, margins = greedy(model, tokens)
        assert min(margins) > 0.01, f"choose another prompt: a near-tie after {prompt!r}"
        rows.append({"prompt": prompt, "tokens": tokens, "continuation": continuation, "margins": margins})
        print(f"{prompt!r}: smallest margin {min(margins)}: {tokenizer.decode(continuation)!r}")
    result = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "text": {"tokens": text, "losses": [round(float(l), 6) for l in losses], "mean_loss": float(losses.double().mean())},
        "greedy": rows,
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    print(f"{len(text)} tokens of text, mean loss {result['text']['mean_loss']:.6f}")


if __name__ == "__main__":
    main()
