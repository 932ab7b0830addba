"""What PyTorch + PEFT reach on the sample data: one epoch of LoRA in bf16 on the CPU, then the held-out score.

torch 2.15.0, transformers 5.23.0, peft 0.21.2; command: scripts/make_goldens peft_reference   (minutes; not part of the default)
Same recipe as configs/quickstart.yaml: r 16, alpha 32 on all linears, 16 rows a step, peak rate 1e-3 falling linearly,
except for the base, which is bf16 here and NF4 there. Writes nothing into the repository; REFERENCE_OUT=DIR keeps the adapter.
"""

import json
import os
import random
import time
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"
import torch
from gguf import GGUFReader
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GgufConfig, get_linear_schedule_with_warmup
from transformers import logging as transformers_logging

from smollm2 import END, gguf_tokenizer, model_path, render

ORDERS = Path(__file__).resolve().parents[2] / "data" / "orders"
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ROWS, RATE, WARMUP, EPOCHS, NEW_TOKENS = 16, 1e-3, 5, 1, 64


def read(name, reader, tokenizer):
    rows = []
    for line in (ORDERS / f"{name}.jsonl").read_text().splitlines():
        messages = json.loads(line)["messages"]
        prompt = tokenizer.encode(render(reader, messages[:-1])).ids
        answer = tokenizer.encode(messages[-1]["content"]).ids + [END]
        rows.append({"prompt": prompt, "answer": answer, "text": messages[-1]["content"]})
    return rows


def train(model, rows):
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = EPOCHS * (len(rows) + ROWS - 1) // ROWS
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    scheduler = get_linear_schedule_with_warmup(optimizer, WARMUP, total)
    model.train()
    started, tokens_seen, step = time.time(), 0, 0
    for epoch in range(EPOCHS):
        order = random.Random(epoch).sample(range(len(rows)), len(rows))
        for first in range(0, len(rows), ROWS):
            batch = [rows[i] for i in order[first : first + ROWS]]
            longest = max(len(row["prompt"]) + len(row["answer"]) for row in batch)
            tokens = torch.full((len(batch), longest), END)
            mask, labels = torch.zeros_like(tokens), torch.full_like(tokens, -100)
            for i, row in enumerate(batch):
                ids = torch.tensor(row["prompt"] + row["answer"])
                tokens[i, : len(ids)], mask[i, : len(ids)] = ids, 1
                labels[i, len(row["prompt"]) : len(ids)] = ids[len(row["prompt"]) :]
                tokens_seen += len(ids)
            logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
            kept = labels[:, 1:] != -100
            loss = torch.nn.functional.cross_entropy(logits[kept].float(), labels[:, 1:][kept])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            step += 1
            if step % 5 == 0 or step == total:
                print(f"step {step}/{total} loss {float(loss):.4f} {tokens_seen / (time.time() - started):.0f} tokens/s", flush=True)


@torch.no_grad()
def answers(model, rows, batch_rows=24):
    """Greedy answers, as ids without the end token."""
    model.eval()
    result = []
    for first in range(0, len(rows), batch_rows):
        batch = rows[first : first + batch_rows]
        longest = max(len(row["prompt"]) for row in batch)
        tokens = torch.full((len(batch), longest), END)
        mask = torch.zeros_like(tokens)
        for i, row in enumerate(batch):
            tokens[i, longest - len(row["prompt"]) :] = torch.tensor(row["prompt"])
            mask[i, longest - len(row["prompt"]) :] = 1
        output = model.generate(input_ids=tokens, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False,
                                eos_token_id=END, pad_token_id=END)[:, longest:].tolist()
        result += [ids[: ids.index(END)] if END in ids else ids for ids in output]
    return result


def score(name, model, rows, tokenizer):
    wrong = []
    for row, ids in zip(rows, answers(model, rows)):
        text = tokenizer.decode_text(ids)
        try:
            right = json.loads(text) == json.loads(row["text"])
        except ValueError:
            right = False
        if not right:
            wrong.append((row["text"], text))
    print(f"{name}: exact answers {len(rows) - len(wrong)} of {len(rows)} ({100 * (1 - len(wrong) / len(rows)):.1f} %)", flush=True)
    for expected, text in wrong[:12]:
        print(f"  expected {expected}\n  answered {text}")


class Decoding:
    """The GGUF's tokenizer, with byte-level decoding."""

    def __init__(self, tokenizer):
        from tokenizers import decoders

        tokenizer.decoder = decoders.ByteLevel()
        self.encode = tokenizer.encode
        self.decode_text = tokenizer.decode


def main():
    transformers_logging.set_verbosity_error()
    torch.manual_seed(42)
    path = model_path()
    reader = GGUFReader(path)
    tokenizer = Decoding(gguf_tokenizer(reader))
    train_rows, heldout = read("train", reader, tokenizer), read("heldout", reader, tokenizer)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16,
                                                 quantization_config=GgufConfig(dequantize=True))
    score("base, first 24", model, heldout[:24], tokenizer)
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM"))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    train(model, train_rows)
    if os.environ.get("REFERENCE_OUT"):
        model.save_pretrained(os.environ["REFERENCE_OUT"])
    score("tuned", model, heldout, tokenizer)


if __name__ == "__main__":
    main()
