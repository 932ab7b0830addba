"""The work behind scripts/bench_vs_pytorch: both sides train the same rows; tokens/s and memory of each, in turns.

torch 2.15.0, transformers 5.23.0, peft 0.21.2. The PyTorch side is a process of its own (this file with --side MODE), so that
its memory is its own. Tokens per second is the median over steps after the first two; memory is the peak of the sum over a
side's processes, shared pages counted once (Pss), sampled every 0.1 s, and the sum of their peak resident sets (VmHWM).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS, LENGTH, SKIPPED = 4, 512, 2
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SENTENCES = ["The harbour was quiet and the boats lay still.", "Nobody had expected the letter to arrive so soon.",
             "She counted the steps again and found one more than before.", "In the market they sold apples, nails and old maps.",
             "A long road leads over the hill to the next village.", "He wrote the numbers down and closed the book."]


def make_rows(count):
    """Rows of more than LENGTH tokens, of which nearly all are trained."""
    rows = []
    for i in range(count):
        text = " ".join(SENTENCES[(i * 7 + j * (i % 5 + 1)) % len(SENTENCES)] for j in range(70))
        rows.append({"messages": [{"role": "user", "content": f"Story {i}"}, {"role": "assistant", "content": text}]})
    return rows


def torch_side(mode, rows_file, steps):
    """Prints the seconds of every step as JSON."""
    os.environ["TQDM_DISABLE"] = "1"
    import torch
    from gguf import GGUFReader
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, GgufConfig

    from smollm2 import gguf_tokenizer, model_path, render

    reader = GGUFReader(model_path())
    tokenizer = gguf_tokenizer(reader)
    rows = [json.loads(line)["messages"] for line in Path(rows_file).read_text().splitlines()]
    tokens = [tokenizer.encode(render(reader, row[:-1]) + row[-1]["content"]).ids[:LENGTH] for row in rows]
    prompts = [len(tokenizer.encode(render(reader, row[:-1])).ids) for row in rows]
    assert all(len(row) == LENGTH for row in tokens)
    model = AutoModelForCausalLM.from_pretrained(model_path().parent, gguf_file=model_path().name, dtype=torch.bfloat16,
                                                 quantization_config=GgufConfig(dequantize=True))
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM"),
                           autocast_adapter_dtype=False)  # adapters in bf16 too: PEFT's f32 default is several times slower
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.0)
    if mode == "checkpointing":
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    forward = torch.compile(model) if mode == "compile" else model
    model.train()
    seconds = []
    for step in range(steps):
        picked = [(step * ROWS + i) % len(tokens) for i in range(ROWS)]
        batch = torch.tensor([tokens[i] for i in picked])
        labels = batch.clone()
        for i, row in zip(picked, labels):
            row[: prompts[i]] = -100
        started = time.perf_counter()
        loss = forward(input_ids=batch, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


class Memory(threading.Thread):
    """Peak memory of the processes below `root` whose command names `word`."""

    def __init__(self, root, word):
        super().__init__(daemon=True)
        self.root, self.word, self.done = root, word, threading.Event()
        self.pss_peak, self.hwm = 0, {}

    def descendants(self):
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except OSError:
                    continue
        found, grew = {self.root}, True
        while grew:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            found, grew = found | more, bool(more)
        return found

    def sample(self):
        pss = 0
        for pid in self.descendants():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if not any(Path(part.decode(errors="replace")).name == self.word for part in command[:2]):
                    continue
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
                pss += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
                status = Path(f"/proc/{pid}/status").read_text()
                self.hwm[pid] = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
            except (OSError, StopIteration):
                continue
        self.pss_peak = max(self.pss_peak, pss)

    def run(self):
        while not self.done.wait(0.1):
            self.sample()


def watched(command, word, **options):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    memory = Memory(process.pid, word)
    memory.start()
    out, err = process.communicate()
    memory.done.set()
    memory.join()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with {process.returncode}:\n{err[-3000:]}")
    return out, {"pss_gb": memory.pss_peak * 1024 / 1e9, "rss_gb": sum(memory.hwm.values()) * 1024 / 1e9}


def run_torch(mode, rows_file, steps):
    out, memory = watched([sys.executable, __file__, "--side", mode, "--rows", rows_file, "--steps", str(steps)], "bench.py",
                          env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    seconds = json.loads(out.splitlines()[-1])[SKIPPED:]
    return {"tokens_per_second": statistics.median(ROWS * LENGTH / s for s in seconds)} | memory


def run_ours(adapter, rows_file, steps, ranks, work):
    out = Path(work) / f"ours-{adapter}-{time.monotonic_ns()}"
    overrides = {"base_model": os.environ["SHARDLORA_TEST_MODEL"], "adapter": adapter, "output_dir": out, "max_steps": steps}
    config = Path(work) / "ours.yaml"
    config.write_text(f"""lora_r: 16
lora_alpha: 32
lora_target_linear: true
datasets: [{{path: {rows_file}, type: chat_template}}]
sequence_len: {LENGTH}
excess_length_strategy: truncate
micro_batch_size: {max(1, ROWS // ranks)}
global_batch_size: {ROWS}
learning_rate: 1e-4
lr_scheduler: constant
""")
    launcher = subprocess.run(["bash", "-c", f". launch/mpi_options.sh; mpi_options {ranks}"], cwd=ROOT, check=True, text=True,
                              capture_output=True).stdout.split()
    command = ["mpirun", "-np", str(ranks), *launcher, "build/shardlora", "train", config, *(f"{k}={v}" for k, v in overrides.items())]
    environment = os.environ | ({"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"} if os.getuid() == 0 else {})
    _, memory = watched(command, "shardlora", cwd=ROOT, env=environment)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rates = [line["tokens_per_second"] for line in lines if "loss" in line][SKIPPED:]
    return {"tokens_per_second": statistics.median(rates)} | memory


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--torch", default="eager")
    parser.add_argument("--adapter", default="qlora")
    parser.add_argument("--json")
    parser.add_argument("--side")
    parser.add_argument("--rows")
    arguments = parser.parse_args()
    if arguments.side:
        return torch_side(arguments.side, arguments.rows, arguments.steps)

    with tempfile.TemporaryDirectory() as work:
        rows_file = Path(work) / "rows.jsonl"
        rows_file.write_text("".join(json.dumps(row) + "\n" for row in make_rows(ROWS * arguments.steps)))
        sides = {f"PyTorch {mode}": (lambda m=mode: run_torch(m, rows_file, arguments.steps)) for mode in arguments.torch.split(",")}
        sides |= {f"shardlora {kind}": (lambda k=kind: run_ours(k, rows_file, arguments.steps, arguments.ranks, work))
                  for kind in arguments.adapter.split(",")}
        runs = {name: [] for name in sides}
        for turn in range(arguments.rounds):
            for name, run in sides.items():
                runs[name].append(run())
                print(f"round {turn + 1}: {name}: {runs[name][-1]['tokens_per_second']:.0f} tokens/s", file=sys.stderr, flush=True)

    first = next(iter(sides))
    base = statistics.median(run["tokens_per_second"] for run in runs[first])
    print(f"\n{ROWS} x {LENGTH} tokens a step, r 16 on all linears, {arguments.steps} steps x {arguments.rounds} rounds in turns, "
          f"{os.cpu_count()} CPUs, {arguments.ranks} ranks\n")
    print(f"| | tokens/s (median) | lowest - highest | against {first} | peak memory (Pss) | sum of peak RSS |")
    print("|---|---|---|---|---|---|")
    table = {}
    for name, results in runs.items():
        rates = [run["tokens_per_second"] for run in results]
        table[name] = {key: statistics.median(run[key] for run in results) for key in results[0]} | {"runs": rates}
        table[name]["ratio"] = table[name]["tokens_per_second"] / base
        print(f"| {name} | {table[name]['tokens_per_second']:.0f} | {min(rates):.0f} - {max(rates):.0f} | {table[name]['ratio']:.2f} | "
              f"{table[name]['pss_gb']:.2f} GB | {table[name]['rss_gb']:.2f} GB |")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
