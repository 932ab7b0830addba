"""Small adapters saved by PEFT itself: tests/data/checkpoint/adapter-f32 and adapter-bf16.

torch 2.15.0, transformers 5.23.0, peft 0.21.2; command: scripts/make_goldens adapter

Two layers, LoRA of rank 2 on q_proj and down_proj. Value i (row-major) of the tensor that comes t-th when names are sorted is
((37 i + 11 t) mod 101 - 50) / 64: exact in bf16, so both files hold the same numbers. Read by
tests/checkpoint/adapter_test.cpp.
"""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import LlamaConfig, LlamaForCausalLM

OUT = Path(__file__).resolve().parents[2] / "tests/data/checkpoint"
CONFIG = LlamaConfig(vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
                     num_key_value_heads=1)

for name, dtype in ("adapter-f32", torch.float32), ("adapter-bf16", torch.bfloat16):
    lora = LoraConfig(r=2, lora_alpha=6, lora_dropout=0.125, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(LlamaForCausalLM(CONFIG), lora)
    model.peft_config["default"].base_model_name_or_path = "tiny/llama"
    for t, (_, tensor) in enumerate(sorted(get_peft_model_state_dict(model).items())):
        i = torch.arange(tensor.numel())
        tensor.data.copy_((((37 * i + 11 * t) % 101 - 50) / 64).reshape(tensor.shape))
    model.to(dtype).save_pretrained(OUT / name)
    (OUT / name / "README.md").unlink()
    print(OUT / name, sum(f.stat().st_size for f in (OUT / name).iterdir()), "bytes")
