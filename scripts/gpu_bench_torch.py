#!/usr/bin/env python3
"""PyTorch's side of gpu_bench, on the same machine and at the same shapes; run by scripts/gpu_bench after our own.

Causal attention of an 8B model's layer by cuDNN and by FlashAttention-2, and bf16 LoRA (rank 16, all linears) with
transformers and PEFT on a random base. That base is bf16: no dequantisation, so for speed the harder baseline; its
memory is not QLoRA's. Adds its lines to the JSON file.
"""
import argparse
import json
import statistics
import sys
import time

import peft
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel

SHAPES = {
    "1B": dict(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
               num_key_value_heads=8, head_dim=64, vocab_size=128256),
    "8B": dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
               num_key_value_heads=8, head_dim=128, vocab_size=128256),
}
MICRO_BATCH = {"1B": 4, "8B": 2}
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TOKENS, MICRO_BATCHES, STEPS = 2048, 4, 3

HEADS, GROUPS, HEAD = 32, 8, 128  # of attention, as OpShapes in tests/benchmarks/gpu_bench.h
ATTENTION = {"cuDNN": SDPBackend.CUDNN_ATTENTION, "FlashAttention-2": SDPBackend.FLASH_ATTENTION}


def median_seconds(work, rounds=7, repeats=20):
    def timed():
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(repeats):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - begin) / repeats

    timed()
    return statistics.median(timed() for _ in range(rounds))


def measure_attention(backend):
    """Seconds of a forward and of a backward pass."""

    def random(heads):
        return torch.randn(1, heads, TOKENS, HEAD, dtype=torch.bfloat16, device="cuda", requires_grad=True)

    q, k, v = random(HEADS), random(GROUPS), random(GROUPS)

    def forward():
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    with sdpa_kernel(backend):
        seconds = median_seconds(forward)
        out = forward()
        grad = torch.randn_like(out)
        return seconds, median_seconds(lambda: torch.autograd.grad(out, (q, k, v), grad, retain_graph=True))


def measure(name, micro_batch, checkpointing):
    torch.manual_seed(0)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    config = transformers.LlamaConfig(**SHAPES[name], max_position_embeddings=8192, rope_theta=500000.0,
                                      tie_word_embeddings=False)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = transformers.LlamaForCausalLM._from_config(config, attn_implementation="sdpa")
    torch.set_default_dtype(torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=16, target_modules=LINEARS),
                                autocast_adapter_dtype=False)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    ids = torch.randint(0, config.vocab_size, (micro_batch, TOKENS), device="cuda")
    times = []
    for step in range(STEPS + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(MICRO_BATCHES):
            (model(input_ids=ids, labels=ids, use_cache=False).loss / MICRO_BATCHES).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        if step > 0:
            times.append(time.perf_counter() - begin)
    return statistics.median(times), torch.cuda.max_memory_allocated()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", required=True)
    parser.add_argument("--steps", default="all")
    parser.add_argument("--ops", default="8b")
    options = parser.parse_args()
    with open(options.json) as file:
        report = json.load(file)
    if not torch.cuda.is_available():
        print("gpu_bench: this torch has no CUDA: its side is left out", file=sys.stderr)
        return
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")

    def add(text, seconds, rate, unit, peak=0):
        memory = f"{peak / 2**30:13.1f} GiB" if peak else ""
        print(f"{text:<46}{seconds * 1e3:10.3f} ms{rate:12.1f} {unit:<9}{memory}", flush=True)
        report["measurements"].append(dict(name=text, milliseconds=seconds * 1e3, rate=rate, unit=unit, of_ceiling=0,
                                           peak_bytes=peak))
        with open(options.json, "w") as file:
            json.dump(report, file, indent=1)

    product = TOKENS**2 * HEADS * HEAD  # causal: half of what a full one takes
    for name, backend in ATTENTION.items() if options.ops == "8b" else ():
        try:
            forward, backward = measure_attention(backend)
        except RuntimeError as error:
            print(f"PyTorch attention, {name}: not here ({str(error).splitlines()[0]})")
            continue
        add(f"PyTorch attention, {name}", forward, 2 * product / forward / 1e12, "TFLOP/s")
        add(f"PyTorch attention_backward, {name}", backward, 5 * product / backward / 1e12, "TFLOP/s")
    for name in SHAPES:
        if options.steps not in ("all", name.lower()):
            continue
        for checkpointing in (True, False):
            for micro_batch in (MICRO_BATCH[name], 2 * MICRO_BATCH[name]):
                text = f"PEFT bf16 {name}, 4 x {micro_batch} x {TOKENS}{', checkpointing' if checkpointing else ''}"
                try:
                    seconds, peak = measure(name, micro_batch, checkpointing)
                except torch.OutOfMemoryError:
                    print(f"{text:<46} out of memory")
                    continue
                add(text, seconds, TOKENS * micro_batch * MICRO_BATCHES / seconds, "tokens/s", peak)


if __name__ == "__main__":
    main()
