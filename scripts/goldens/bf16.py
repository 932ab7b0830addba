"""How far PyTorch's own bf16 and f16 are from float32 on tiny models with LoRA: the measure for ours.

torch 2.15.0, transformers 5.23.0, peft 0.21.2; command: scripts/make_goldens bf16 (after architectures)

Writes tests/data/architectures/bf16.json: "steps" (20 seeds: one micro-batch of samples each, as in batches.json) and per
variant "rms": of "logits" and of "grad.<name in the adapter file>", the root of the mean square difference over all seeds and
elements between a run in bf16 (weights, adapter and activations; PEFT's autocast_adapter_dtype=False) and one in float32.
f16.json has the same "variants" of f16, with the loss scaled by "loss_scale" for backward and the gradients unscaled; its steps are
those of bf16.json.
"""

import json

import numpy
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

import architectures
import model as llama

VARIANTS, SEEDS = ["llama3", "qwen2", "qwen3"], 20
LOSS_SCALES = {"bf16": 1, "f16": 1024}


def sample(random):
    tokens = [int(t) for t in random.integers(llama.VOCAB, size=int(random.integers(8, 30)))]
    trained = [int(i > 0 and random.random() < 0.8) for i in range(len(tokens))]
    trained[-1] = 1
    return {"tokens": tokens, "trained": trained}


def load(variant, dtype):
    folder = architectures.DATA / variant
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    model = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True, autocast_adapter_dtype=False)
    assert all(p.dtype == dtype for p in llama.adapter(model).values())
    return model.train()


def results(model, step, loss_scale=1):
    """As backward_step, with the loss of logits in float32 as transformers computes it."""
    model.zero_grad()
    count = sum(sum(s["trained"]) for samples in step for s in samples)
    losses, logits = llama.micro_batch_losses(Float32Logits(model), step[0])
    (losses.sum() / count * loss_scale).backward()
    return {"logits": logits.detach().float()} | {f"grad.{n}": p.grad.float() / loss_scale for n, p in llama.adapter(model).items()}


class Float32Logits:
    def __init__(self, model):
        self.model = model

    def __call__(self, **inputs):
        output = self.model(**inputs)
        output.logits = output.logits.float()
        return output


def main():
    llama.quiet()
    steps = [[[sample(numpy.random.default_rng(seed)) for _ in range(2)]] for seed in range(SEEDS)]
    write("bf16", torch.bfloat16, {"steps": steps}, steps)
    write("f16", torch.float16, {"loss_scale": LOSS_SCALES["f16"]}, steps)


def write(name, dtype, written, steps):
    written["variants"] = {}
    for variant in VARIANTS:
        exact, rounded = load(variant, torch.float32), load(variant, dtype)
        squares, counts, sizes = {}, {}, {}
        for step in steps:
            truth = results(exact, step)
            for key, value in results(rounded, step, LOSS_SCALES[name]).items():
                squares[key] = squares.get(key, 0.0) + float((value.double() - truth[key].double()).square().sum())
                sizes[key] = sizes.get(key, 0.0) + float(truth[key].double().square().sum())
                counts[key] = counts.get(key, 0) + value.numel()
        written["variants"][variant] = {"rms": {key: (squares[key] / counts[key]) ** 0.5 for key in sorted(squares)}}
        relative = [(squares[key] / sizes[key]) ** 0.5 for key in squares]
        print(f"{variant} in {name}: relative errors {min(relative):.1e} to {max(relative):.1e}")
    (architectures.DATA / f"{name}.json").write_text(json.dumps(written, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
