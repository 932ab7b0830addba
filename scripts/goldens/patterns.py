"""Goldens of LoRA whose modules differ: ranks and alphas by pattern, chosen layers, targets by a regular expression.

torch 2.15.0, transformers 5.23.0, peft 0.21.2; command: scripts/make_goldens patterns   (after model)

Writes into tests/data/model, on the tiny tied Llama:
  adapter-<name>/        as PEFT saves it, A and B both random; its configurations are below
  <name>.safetensors     all F32: of steps[0] "logits", "token_losses", "loss", "grad.<name in the adapter file>"; of the training
                         of scripts/goldens/training.py "losses", "grad_norm", "learning_rate", "final.<name>".
"""

import json
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

import training
from model import DATA, LINEARS, adapter, backward_step, farthest, quiet, write_tensors

# Patterns overlap: PEFT takes the first that matches, in the order of the file, which it sorts.
CONFIGS = {
    "patterns": dict(r=4, lora_alpha=8, target_modules=LINEARS, use_rslora=True, layers_to_transform=[0], layers_pattern="layers",
                     rank_pattern={"q_proj": 2, r"layers\.0\.mlp\.(up|gate)_proj": 6, "^model.layers.1.+": 3, "up_proj": 5},
                     alpha_pattern={"v_proj": 3, "mlp.*": 20, "down_proj": 5}),
    "regex": dict(r=3, lora_alpha=6, target_modules=r"model\.layers\.(0\.self_attn\.(q|o)_proj|1\.(mlp|self_attn)\.(v|down|up)_proj)",
                  rank_pattern={r".*\.1\..*": 2, "down_proj": 7}, alpha_pattern={"o_proj": 1}),
}


def base():
    return AutoModelForCausalLM.from_pretrained(DATA, gguf_file="tiny-tied.gguf", dtype=torch.float32, attn_implementation="eager")


def load(name, dtype=torch.float32):
    return PeftModel.from_pretrained(base(), DATA / f"adapter-{name}", is_trainable=True).to(dtype).train()


def write_adapter(name):
    model = get_peft_model(base(), LoraConfig(lora_dropout=0.0, task_type="CAUSAL_LM", **CONFIGS[name]))
    generator = torch.Generator().manual_seed(500)
    with torch.no_grad():
        for key, parameter in adapter(model).items():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise / parameter.shape[-1] ** 0.5 if "lora_A" in key else 0.1 * noise)
    directory = DATA / f"adapter-{name}"
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)
    (directory / "adapter_model.safetensors").chmod(0o644)
    path = directory / "adapter_config.json"
    written = json.loads(path.read_text()) | {"base_model_name_or_path": "tiny-tied"}
    if isinstance(written["target_modules"], list):
        written["target_modules"].sort()  # PEFT keeps a set
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")


def results(name, steps, dtype):
    model = load(name, dtype)
    losses, logits = backward_step(model, steps[0])
    step = {"logits": logits, "token_losses": losses, "loss": losses.mean().reshape(1)}
    step |= {f"grad.{key}": p.grad.clone() for key, p in adapter(model).items()}
    training.load = load
    trained = training.train(name, steps, dtype)
    return step | {("losses" if key == "loss" else key): value for key, value in trained.items()}


def main():
    quiet()
    steps = json.loads((DATA / "batches.json").read_text())["steps"]
    for name in CONFIGS:
        write_adapter(name)
        found, again, exact = (results(name, steps, t) for t in (torch.float32, torch.float32, torch.float64))
        assert all(torch.equal(found[key], again[key]) for key in found)
        write_tensors(DATA / f"{name}.safetensors", found)
        ranks = {key.removeprefix("base_model.model.model.layers."): p.shape[0] for key, p in adapter(load(name)).items() if "lora_A" in key}
        print(f"{name}: loss {float(found['loss']):.7f}, trained to {found['losses'][-1]:.4f}; farthest from float64 "
              f"{farthest(found, exact):.1e}; ranks {ranks}")


if __name__ == "__main__":
    main()
