#!/usr/bin/env python3
"""Does a saved adapter load in PEFT, all of it?   scripts/check_adapter.py ADAPTER_DIR [BASE]

BASE is a Hugging Face directory or a .gguf file. Without it an untrained Llama of the shapes that the adapter implies stands
in, which is enough to see that PEFT finds a place for every tensor and leaves none of its own at its initial value.
Needs torch, transformers, peft, safetensors (and gguf for a .gguf file).
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM


def stand_in(tensors):
    shape = lambda suffix, side: next((t.shape[side] for n, t in tensors.items() if n.endswith(suffix)), None)
    out = lambda module: shape(f"{module}.lora_B.weight", 0)
    into = lambda module: shape(f"{module}.lora_A.weight", 1)
    hidden = into("q_proj") or into("gate_proj") or out("down_proj") or out("o_proj")
    query, key = out("q_proj") or into("o_proj") or hidden, out("k_proj") or out("v_proj") or out("q_proj") or hidden
    head = next(d for d in (64, 32, 16, 8, 4, 2) if query % d == 0 and key % d == 0)
    layers = 1 + max(int(n.split("layers.")[1].split(".")[0]) for n in tensors)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=16, hidden_size=hidden, intermediate_size=into("down_proj") or out("gate_proj") or 4 * hidden,
        num_hidden_layers=layers, num_attention_heads=query // head, num_key_value_heads=key // head, head_dim=head))


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    adapter = Path(sys.argv[1])
    tensors = load_file(adapter / "adapter_model.safetensors")
    base = Path(sys.argv[2]) if len(sys.argv) == 3 else None
    if base is None:
        model = stand_in(tensors)
    elif base.suffix == ".gguf":
        model = AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT warns of keys that it drops and of weights that it misses
        peft = PeftModel.from_pretrained(model, adapter)
    loaded = get_peft_model_state_dict(peft, save_embedding_layers=False)
    assert loaded.keys() == tensors.keys(), sorted(loaded.keys() ^ tensors.keys())
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name].float(), tensor.float()), name
    config = json.loads((adapter / "adapter_config.json").read_text())
    print(f"{adapter}: PEFT loads all {len(tensors)} tensors, r {config['r']}, alpha {config['lora_alpha']}, "
          f"{', '.join(config['target_modules'])}")


main()
