"""Learning rates over whole runs from transformers' get_scheduler on torch.optim.AdamW: tests/data/optim/schedules.json.

torch 2.15.0, transformers 5.23.0; command: scripts/make_goldens schedules

"runs": {"scheduler", "kwargs" (lr_scheduler_kwargs), "warmup", "total", "peak", "rates"}; rates[i] is what step i used, over the
run and some steps beyond its end.
"""

import json
import warnings
from pathlib import Path

import torch
from transformers import get_scheduler

OUT = Path(__file__).resolve().parents[2] / "tests/data/optim/schedules.json"
BEYOND = 3

KINDS = [
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_with_min_lr", {"min_lr": 2e-5, "num_cycles": 0.75}),
    ("polynomial", {}),
    ("polynomial", {"lr_end": 1e-5, "power": 2.0}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 12}),
    ("warmup_stable_decay", {"num_decay_steps": 7}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "num_stable_steps": 4, "min_lr_ratio": 0.1, "decay_type": "linear"}),
    ("warmup_stable_decay", {"num_decay_steps": 9, "warmup_type": "cosine", "decay_type": "1-sqrt"}),
    ("warmup_stable_decay", {"num_decay_steps": 9, "warmup_type": "1-sqrt", "min_lr_ratio": 0.05, "num_cycles": 1.0}),
]


def rates(name, kwargs, warmup, total, peak):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total, scheduler_specific_kwargs=kwargs)
    seen = []
    for _ in range(total + BEYOND):
        seen.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return seen


def main():
    warnings.simplefilter("ignore")
    runs = []
    for name, kwargs in KINDS:
        for warmup, total, peak in [(0, 20, 2e-4), (5, 23, 1e-3)]:
            runs.append({"scheduler": name, "kwargs": kwargs, "warmup": warmup, "total": total, "peak": peak,
                         "rates": rates(name, kwargs, warmup, total, peak)})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text('{"runs": [\n' + ",\n".join(json.dumps(run) for run in runs) + "\n]}\n")
    print(f"{len(runs)} runs")


if __name__ == "__main__":
    main()
