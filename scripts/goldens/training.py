"""Goldens of 20 steps of LoRA training of the tiny Llamas with torch, transformers' schedule and PEFT, in float32.

torch 2.15.0, transformers 5.23.0, peft 0.21.2; command: scripts/make_goldens training (after model)

Step i is steps[i mod 3] of tests/data/model/batches.json, starting from adapter-<variant>. The loss is the mean over all
targets of the step. Clipping by global norm to 1.0 (torch's: factor 1 / (norm + 1e-6), at most 1), AdamW with betas 0.9 and
0.999, eps 1e-8, weight decay 0.01, peak rate 1e-2 with 3 steps of warm-up and a linear fall to 0 over the 20 steps.

Writes tests/data/model/training-<variant>.safetensors, all F32: "loss" (20), "grad_norm" (20, before clipping),
"learning_rate" (20, the one that the step used), "final.<name in the adapter file>".
"""

import json

import torch
from transformers import get_linear_schedule_with_warmup

from model import DATA, VARIANTS, adapter, backward_step, farthest, load, quiet, write_tensors

STEPS, WARMUP, RATE = 20, 3, 1e-2


def train(variant, steps, dtype):
    model = load(variant, dtype)
    parameters = list(adapter(model).values())
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, foreach=False)
    scheduler = get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    loss, norm, rate = [], [], []
    for i in range(STEPS):
        losses, _ = backward_step(model, steps[i % len(steps)])
        loss.append(losses.mean())
        norm.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        rate.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    results = {"loss": torch.stack(loss), "grad_norm": torch.stack(norm), "learning_rate": torch.tensor(rate)}
    return results | {f"final.{name}": p.detach().clone() for name, p in adapter(model).items()}


def main():
    quiet()
    steps = json.loads((DATA / "batches.json").read_text())["steps"]
    for variant in VARIANTS:
        results, again, exact = (train(variant, steps, t) for t in (torch.float32, torch.float32, torch.float64))
        assert all(torch.equal(results[name], again[name]) for name in results)
        write_tensors(DATA / f"training-{variant}.safetensors", results)
        drift = ((results["loss"].double() - exact["loss"]) / exact["loss"]).abs().max()
        print(f"{variant}: loss {results['loss'][0]:.4f} -> {results['loss'][-1]:.4f}, grad norm "
              f"{results['grad_norm'].min():.3f} to {results['grad_norm'].max():.3f}; from float64: "
              f"loss {drift:.1e}, farthest tensor {farthest(results, exact):.1e}")


if __name__ == "__main__":
    main()
