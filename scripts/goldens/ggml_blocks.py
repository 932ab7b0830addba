"""The blocks of quantised GGUF files as the gguf package decodes them: tests/data/quant/ggml.bin, read by
tests/quant/ggml_golden_test.cpp.

gguf 0.19.0, numpy 2.4.6; command: scripts/make_goldens ggml_blocks

A record: u32 name length, name ("<type> <kind>"), u32 n, u32 bytes, then the blocks and f32 values[n]. Types that the package can
quantise come from tensors of every kind; all types from random blocks, whose scales are usual, denormal, zero and large.
"""

import struct
from pathlib import Path

import gguf
import numpy as np

OUT = Path(__file__).resolve().parents[2] / "tests/data/quant/ggml.bin"
QUANTISED = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2],
          "Q5_K": [0, 2], "Q6_K": [208]}
VALUES = 256


def tensors(rng):
    normal = rng.standard_normal(VALUES) * 0.02
    return {
        "random": normal,
        "heavy-tailed": rng.standard_t(1.5, VALUES) * 0.02,
        "constant": np.full(VALUES, -0.0371),
        "zero": np.zeros(VALUES),
        "denormal": rng.standard_normal(VALUES) * 1e-6,
        "outliers": np.where(np.arange(VALUES) % 97 == 0, 1000, 1) * normal,
    }


def random_blocks(rng, kind, scales):
    values, size = gguf.GGML_QUANT_SIZES[kind]
    sizes = [0.02, 1e-6, 0.0, 40.0]
    packed = rng.integers(0, 256, (max(len(sizes), VALUES // values), size), dtype=np.uint8)
    for i, block in enumerate(packed):
        for place in scales:
            scale = np.array([rng.standard_normal() * sizes[i % len(sizes)]], np.float16)
            block[place : place + 2] = scale.view(np.uint8)
    return packed.reshape(-1)


def record(name, kind, packed):
    values = gguf.quants.dequantize(packed, kind).astype(np.float32)
    assert np.isfinite(values).all(), name
    head = struct.pack("<I", len(name)) + name.encode() + struct.pack("<II", values.size, packed.size)
    return head + packed.tobytes() + values.tobytes()


def main():
    rng = np.random.default_rng(13)
    records = []
    for name in QUANTISED:
        kind = gguf.GGMLQuantizationType[name]
        for what, values in tensors(rng).items():
            records.append(record(f"{name} {what}", kind, gguf.quants.quantize(values.astype(np.float32), kind)))
    for name, scales in SCALES.items():
        kind = gguf.GGMLQuantizationType[name]
        records.append(record(f"{name} random blocks", kind, random_blocks(rng, kind, scales)))
    OUT.write_bytes(b"".join(records))
    print(len(records), "records,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
