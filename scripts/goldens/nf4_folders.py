"""Folders as bitsandbytes and transformers save models in NF4, and what bitsandbytes decodes them to.

torch 2.15.0, transformers 5.23.0, bitsandbytes 0.50.2, safetensors 0.8.0, accelerate 1.15.0 (transformers asks for it);
command: scripts/make_goldens nf4_folders

Writes into tests/data/nf4, read by tests/checkpoint/bitsandbytes_test.cpp:
  matrices/   model.safetensors with the weights of bnb.nn.Linear4bit, named <dtype>.<block>[.nested][.as_<storage>].weight: every dtype
              that they can be quantised from, blocks of 64 and 128, with and without double quantisation. Their rows are random,
              heavy-tailed, constant, zero, denormal and with outliers; `large` has more blocks than a nested group.
  llama/      a tiny Llama, saved by transformers from bfloat16 with double quantisation and two modules left out.
  decoded.json   by folder and tensor: "sha256" of what it is decoded to, as f32, and "first", the bits of eight of these.

Decoded by bitsandbytes' reference (backends/default), and by its CPU kernels with the same bits; but these are wrong in 0.50.2 where
rows end within a block (bfloat16, 96 columns, blocks of 64, AVX-512: most values are another block's), so they are not asked there.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

os.environ |= {"TQDM_DISABLE": "1", "TORCHDYNAMO_DISABLE": "1"}
import bitsandbytes as bnb
import numpy as np
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.functional import QuantState, dequantize_4bit, dequantize_blockwise, get_4bit_type
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from model import quiet

OUT = Path(__file__).resolve().parents[2] / "tests/data/nf4"
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
SKIPPED = ["lm_head", "model.layers.0.self_attn.k_proj"]


def rows(count, columns, seed):
    rng = np.random.default_rng(seed)
    normal = lambda: rng.standard_normal(columns) * 0.02
    kinds = [
        normal,
        lambda: np.clip(rng.standard_t(1.5, columns) * 0.02, -6e4, 6e4),
        lambda: np.full(columns, -0.0371),
        lambda: np.zeros(columns),
        lambda: rng.standard_normal(columns) * 1e-6,  # denormal in f16
        lambda: rng.standard_normal(columns) * 1e-39,  # and in the others
        lambda: normal() * np.where(np.arange(columns) % 97 == 0, 1000, 1),
    ]
    return torch.from_numpy(np.stack([kinds[i % len(kinds)]() for i in range(count)]).astype(np.float32))


def quantised(values, dtype, block, nested, storage=torch.uint8):
    """The tensors of a linear that bitsandbytes quantised, under the names that it saves them with."""
    outputs, inputs = values.shape
    linear = bnb.nn.Linear4bit(inputs, outputs, bias=False, compress_statistics=nested, quant_type="nf4", quant_storage=storage)
    linear.weight = bnb.nn.Params4bit(values.to(dtype), requires_grad=False, blocksize=block, compress_statistics=nested,
                                      quant_type="nf4", quant_storage=storage, module=linear)
    return linear.to("cpu").state_dict()


def matrices():
    tensors = {}
    for name, dtype in DTYPES.items():
        for block in (64, 128):
            for nested in (False, True):
                # An odd row, and a last block that is short.
                parts = quantised(rows(7, 130, len(tensors)), dtype, block, nested)
                tensors |= {f"{name}.{block}{'.nested' if nested else ''}.{part}": tensor for part, tensor in parts.items()}
    tensors |= {f"bf16.64.nested.as_bf16.{k}": v for k, v in quantised(rows(6, 128, 1), torch.bfloat16, 64, True, torch.bfloat16).items()}
    tensors |= {f"f16.64.as_f32.{k}": v for k, v in quantised(rows(6, 128, 2), torch.float16, 64, False, torch.float32).items()}
    tensors |= {f"large.{k}": v for k, v in quantised(rows(35, 512, 3), torch.bfloat16, 64, True).items()}
    (OUT / "matrices").mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, OUT / "matrices/model.safetensors", metadata={"format": "pt"})


def llama():
    torch.manual_seed(5)
    config = LlamaConfig(vocab_size=10, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False)
    whole = OUT / "whole"
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(whole)
    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                             bnb_4bit_compute_dtype=torch.bfloat16, llm_int8_skip_modules=SKIPPED)
    model = AutoModelForCausalLM.from_pretrained(whole, quantization_config=how, dtype=torch.bfloat16, device_map="cpu")
    model.save_pretrained(OUT / "llama")
    shutil.rmtree(whole)
    (OUT / "llama/generation_config.json").unlink(missing_ok=True)


def decoded(folder):
    tensors = load_file(OUT / folder / "model.safetensors")
    result = {}
    for state_name in sorted(name for name in tensors if ".quant_state." in name):
        weight = state_name.split(".quant_state.")[0]
        parts = {k.removeprefix(weight + "."): v for k, v in tensors.items() if k.startswith(weight + ".")}
        state = QuantState.from_dict(parts, torch.device("cpu"))
        absmax = dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
        values = _dequantize_4bit_compute(tensors[weight].view(torch.uint8).reshape(-1), absmax, get_4bit_type("nf4", device="cpu"),
                                          state.blocksize, state.shape, state.dtype)
        assert values.dtype == state.dtype and values.shape == state.shape
        assert state.shape[1] % state.blocksize or torch.equal(values, dequantize_4bit(tensors[weight], state)), weight
        bits = values.float().numpy().reshape(-1)
        result[weight] = {"sha256": hashlib.sha256(bits.tobytes()).hexdigest(), "first": bits[:8].view(np.uint32).tolist()}
    return result


def main():
    quiet()
    shutil.rmtree(OUT, ignore_errors=True)
    matrices()
    llama()
    text = json.dumps({folder: decoded(folder) for folder in ("matrices", "llama")}, indent=1)
    (OUT / "decoded.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
