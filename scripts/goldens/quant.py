"""NF4 as bitsandbytes' CPU backend packs it: tests/data/quant/nf4.bin, read by tests/quant/nf4_golden_test.cpp.

torch 2.15.0, bitsandbytes 0.50.2, numpy 2.4.6; command: scripts/make_goldens quant

A record: u32 name length, name, u32 block, u32 n, then f32 values[n], u8 codes[(n+1)/2], f32 absmax[blocks], f32 offset,
u8 nested codes[blocks] of that backend, u8 nested codes[blocks] of the GPU's search, f32 nested absmax[groups],
f32 values without double quantisation[n].
"""

import struct
from pathlib import Path

import bitsandbytes.functional as bnb
import numpy as np
import torch

OUT = Path(__file__).resolve().parents[2] / "tests/data/quant/nf4.bin"
NESTED = 256


def gpu_code(x, levels):
    """The GPU's binary search, one value at a time in f32 (reference notes, 2.4)."""
    pivot, upper, lower, step = 127, 255, 0, 64
    while step > 0:
        if x > levels[pivot]:
            lower, pivot = pivot, pivot + step
        else:
            upper, pivot = pivot, pivot - step
        step //= 2
    level = levels[pivot]
    if x > level:
        return upper if x > (levels[upper] + level) / np.float32(2) else pivot
    return lower if x < (levels[lower] + level) / np.float32(2) else pivot


def dynamic_map():
    """bitsandbytes' signed map with a scalar linspace: torch's vectorised one differs in the last bit of some levels."""
    f = np.float32
    levels = [f(0), f(1)]
    for i in range(7):
        n = 2**i + 1
        step = (f(1) - f(0.1)) / f(n - 1)
        points = [f(0.1) + step * f(k) if k < n // 2 else f(1) - step * f(n - 1 - k) for k in range(n)]
        for a, b in zip(points, points[1:]):
            mean = f(10.0 ** (i - 6)) * ((a + b) / f(2))
            levels += [mean, -mean]
    return np.sort(np.array(levels, np.float32))


def cases():
    rng = np.random.default_rng(7)
    normal = lambda n: rng.standard_normal(n).astype(np.float32) * np.float32(0.02)
    yield "normal", 64, normal(64 * 24)
    yield "rounded to bf16", 64, torch.from_numpy(normal(64 * 16)).bfloat16().float().numpy()
    yield "heavy tails", 64, (rng.standard_t(1.5, 64 * 24) * 0.02).astype(np.float32)
    outliers = normal(64 * 16)
    outliers[::97] *= 1000
    yield "outliers", 64, outliers
    zeros = normal(64 * 8)
    zeros[64:192] = 0
    zeros[320:384] = -0.0
    yield "zero blocks", 64, zeros
    yield "all zero", 64, np.zeros(64 * 3, np.float32)
    yield "constant", 64, np.full(64 * 5, -0.0371, np.float32)
    yield "denormals", 64, (rng.standard_normal(64 * 8) * np.repeat(10.0 ** np.arange(-45.0, -37.0), 64)).astype(np.float32)
    yield "short last block", 64, normal(64 * 5 + 37)
    yield "only a short block", 64, normal(10)
    yield "one value", 64, np.array([-3.0], np.float32)
    yield "short zero block", 64, np.concatenate([normal(64), np.zeros(7, np.float32)])
    levels = bnb.get_4bit_type("nf4", device="cpu").numpy()
    middles = (levels[:-1] + levels[1:]) / np.float32(2)
    edges = np.concatenate([middles, np.nextafter(middles, np.float32(2)), np.nextafter(middles, np.float32(-2)), levels])
    yield "thresholds", 64, np.concatenate([np.ones(3, np.float32), edges]).astype(np.float32)
    yield "block of 32", 32, normal(32 * 16 + 6)
    yield "block of 128", 128, normal(128 * 8)
    yield "block of 4096", 4096, normal(4096)
    # More than two nested groups, the last one short; magnitudes that spread over the whole map.
    spread = normal(64 * 530 // 2) * np.repeat(np.exp(rng.standard_normal(265)), 64).astype(np.float32)
    yield "nested groups", 64, spread


def record(name, block, values):
    x = torch.from_numpy(values)
    codes, state = bnb.quantize_4bit(x, blocksize=block, quant_type="nf4")
    nested_codes, nested = bnb.quantize_4bit(x, blocksize=block, quant_type="nf4", compress_statistics=True)
    assert torch.equal(codes, nested_codes)
    centred = (state.absmax - nested.offset).numpy()
    levels = dynamic_map()
    with np.errstate(all="ignore"):
        inverse = np.repeat(np.float32(1) / nested.state2.absmax.numpy(), NESTED)[: len(centred)]
        gpu = np.array([gpu_code(v, levels) for v in centred * inverse], np.uint8)
    decoded = bnb.dequantize_4bit(codes, state)
    parts = [values, codes.numpy(), state.absmax.numpy(), np.float32(nested.offset.item()), nested.absmax.numpy(), gpu,
             nested.state2.absmax.numpy(), decoded.numpy()]
    head = struct.pack("<I", len(name)) + name.encode() + struct.pack("<II", block, len(values))
    return head + b"".join(part.tobytes() for part in parts)


if __name__ == "__main__":
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(b"".join(record(*case) for case in cases()))
    print(OUT, OUT.stat().st_size, "bytes")
