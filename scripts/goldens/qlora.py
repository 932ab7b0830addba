"""Twelve steps of QLoRA on the real SmolLM2-135M-Instruct, on each of three bases: transformers + PEFT on what they decode to.

torch 2.15.0, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2; command: scripts/make_goldens qlora
The model: $SHARDLORA_TEST_MODEL, else where scripts/get_model puts it. All in float32.

The bases, by name in the file:
  stored        the values of the Q4_1 file as they are
  nf4           the linears of the layers quantised by bitsandbytes to NF4 (blocks of 64) with double quantisation, decoded to f32
  bitsandbytes  the same from bfloat16 and decoded to bfloat16, as in a checkpoint of bitsandbytes
absmax are given the nearest of the 256 levels, as bitsandbytes does on GPUs: on the CPU it rounds first and misses 0.3 % of them, which
moves losses by 1e-3.

The adapter, r 4 and alpha 8 on all linears, is a formula (`start` below; the test has the same). Step i is steps[i] below: the ends of rows of
data/orders/train.jsonl, one a micro-batch. AdamW with betas 0.9 and 0.999, eps 1e-8, weight decay 0.01, clipping to 1.0, peak rate
1e-3 with 3 steps of warm-up towards a linear fall to 0 at step 20.

Writes tests/data/smollm2/qlora.json: "sha256" of the GGUF, "steps" as in batches.json, and by base "untrained" (the loss of the first
step without an adapter), "losses" (12), "grad_norms" (12).
"""

import copy
import hashlib
import json
import os
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"
import numpy
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit
from gguf import GGUFReader
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GgufConfig, get_linear_schedule_with_warmup

from model import LINEARS, PREFIX, adapter, backward_step, micro_batch_losses, quiet
from quant import dynamic_map
from smollm2 import END, gguf_tokenizer, model_path, render

DATA = Path(__file__).resolve().parents[2]
STEPS, ROWS, LENGTH, RANK, RATE = 12, 2, 32, 4, 1e-3


def uniform(name, count):
    """Pseudo-random numbers in [-1, 1) from a parameter's name: FNV-1a, then a mixed counter, all modulo 2^32."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = (numpy.arange(count, dtype=numpy.uint64) * 2654435761 + seed) % 2**32
    for shift, factor in ((15, 2246822519), (13, 3266489917)):
        x = (x ^ (x >> numpy.uint64(shift))) * factor % 2**32
    return 2 * ((x >> numpy.uint64(8)).astype(numpy.float64) / 2**24) - 1


def start(model):
    with torch.no_grad():
        for name, parameter in adapter(model).items():
            values = uniform(name.removeprefix(PREFIX), parameter.numel())
            values = values / numpy.sqrt(parameter.shape[1]) if "lora_A" in name else 0.02 * values
            parameter.copy_(torch.from_numpy(values.astype(numpy.float32)).reshape(parameter.shape))


def rows(reader, tokenizer):
    result = []
    for line in (DATA / "data" / "orders" / "train.jsonl").read_text().splitlines()[: STEPS * ROWS]:
        messages = json.loads(line)["messages"]
        prompt = tokenizer.encode(render(reader, messages[:-1])).ids
        answer = tokenizer.encode(messages[-1]["content"]).ids + [END]
        tokens, trained = prompt + answer, [0] * len(prompt) + [1] * len(answer)
        tokens, trained = tokens[-LENGTH:], trained[-LENGTH:]
        trained[0] = 0  # nothing to predict it from
        result.append({"tokens": tokens, "trained": trained})
    return result


def nf4(weight):
    packed, state = quantize_4bit(weight, blocksize=64, quant_type="nf4")
    absmax, levels = state.absmax.numpy(), dynamic_map()
    offset = numpy.float32(absmax.mean(dtype=numpy.float64))
    for begin in range(0, len(absmax), 256):
        group = absmax[begin : begin + 256] - offset
        largest = numpy.abs(group).max()
        codes = numpy.searchsorted((levels[:-1] + levels[1:]) / numpy.float32(2), group * (numpy.float32(1) / largest))
        absmax[begin : begin + 256] = levels[codes] * largest + offset
    state.absmax = torch.from_numpy(absmax)
    return dequantize_4bit(packed, state).float()


BASES = {"stored": None, "nf4": nf4, "bitsandbytes": lambda weight: nf4(weight.bfloat16())}


def run(model, decode, steps):
    for name, module in model.named_modules():
        if decode and name.split(".")[-1] in LINEARS:
            module.weight.data = decode(module.weight.data)
    with torch.no_grad():
        untrained = float(torch.cat([micro_batch_losses(model.eval(), samples)[0] for samples in steps[0]]).double().mean())
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=8, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM"))
    start(model)
    parameters = list(adapter(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, foreach=False)
    scheduler = get_linear_schedule_with_warmup(optimizer, 3, 20)
    losses, norms = [], []
    for step in steps:
        own, _ = backward_step(model.train(), step)
        losses.append(float(own.double().mean()))
        norms.append(float(torch.nn.utils.clip_grad_norm_(parameters, 1.0)))
        optimizer.step()
        scheduler.step()
        print(f"loss {losses[-1]:.6f} grad norm {norms[-1]:.4f}", flush=True)
    return {"untrained": untrained, "losses": losses, "grad_norms": norms}


def main():
    quiet()
    path = model_path()
    reader = GGUFReader(path)
    samples = rows(reader, gguf_tokenizer(reader))
    steps = [[[sample] for sample in samples[i * ROWS : (i + 1) * ROWS]] for i in range(STEPS)]
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager",
                                                 quantization_config=GgufConfig(dequantize=True))
    result = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "steps": steps}
    for name, decode in BASES.items():
        print(name)
        result[name] = run(copy.deepcopy(model), decode, steps)
    (DATA / "tests" / "data" / "smollm2" / "qlora.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
