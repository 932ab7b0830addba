#!/usr/bin/env python3
"""Writes tests/data/io/: a GGUF and a safetensors file as the reference packages write them, and the values in them.

Last made with gguf 0.19.0, safetensors 0.8.0, torch 2.15.0, numpy 2.4.6: python scripts/goldens/io.py
"""
import json
import pathlib

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/io"


def write_gguf(values):
    """One tensor of every type that we read, with the values that the package itself decodes."""
    writer = gguf.GGUFWriter(OUT / "types.gguf", "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.rope.freq_base", 100000.0)
    writer.add_bool("a.bool", True)
    writer.add_array("an.array.of.integers", [1, -2, 3])
    writer.add_array("an.array.of.reals", [0.5, -1.25])
    writer.add_array("an.array.of.strings", ["", "two", "d\u00e9j\u00e0"])
    decoded = {}
    for name in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"):
        kind = gguf.GGMLQuantizationType[name]
        packed = gguf.quants.quantize(values, kind)
        writer.add_tensor(name.lower(), packed, raw_dtype=kind)
        decoded[name.lower()] = gguf.quants.dequantize(packed, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return decoded


def write_blocks():
    """Random blocks of the types that are read but not made by us: random codes, f16 scales of a usual size."""
    random = np.random.default_rng(11)
    scales = {"Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "llama")
    decoded = {}
    for name, places in scales.items():
        kind = gguf.GGMLQuantizationType[name]
        values, size = gguf.GGML_QUANT_SIZES[kind]
        packed = random.integers(0, 256, (2, 256 // values, size), dtype=np.uint8)
        for place in places:
            packed[:, :, place : place + 2] = random.normal(0, 0.02, packed.shape[:2] + (1,)).astype(np.float16).view(np.uint8)
        packed = packed.reshape(2, -1)
        writer.add_tensor(name.lower(), packed, raw_dtype=kind)
        decoded[name.lower()] = gguf.quants.dequantize(packed, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (OUT / "blocks.json").write_text(json.dumps(bits_of(decoded), separators=(",", ":")) + "\n")


def bits_of(decoded):
    return {name: [int(b) for b in x.astype(np.float32).view(np.uint32).flatten()] for name, x in decoded.items()}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(7).standard_normal((2, 3, 64)).astype(np.float32)
    decoded = write_gguf(values)
    (OUT / "types.json").write_text(json.dumps(bits_of(decoded), separators=(",", ":")) + "\n")
    write_blocks()

    tensors = {
        "b.f32": torch.from_numpy(values[0].copy()),
        "a.bf16": torch.from_numpy(values[1].copy()).bfloat16(),
        "c.f16": torch.from_numpy(values[0, :2].copy()).half(),
        "d.u8": torch.arange(5, dtype=torch.uint8),
        "e.scalar": torch.tensor(2.5),
        "f.empty": torch.zeros((0, 3)),
        "g.i32": torch.tensor([-1, 7], dtype=torch.int32),
    }
    save_file(tensors, OUT / "reference.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
