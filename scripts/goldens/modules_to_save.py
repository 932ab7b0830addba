"""Goldens of LoRA with modules_to_save [embed_tokens, lm_head] on the tiny Llamas: one step's gradients and 20 steps of training.

torch 2.15.0, transformers 5.23.0, peft 0.21.2; command: scripts/make_goldens modules_to_save   (after model)

Writes into tests/data/model, for tied and untied embeddings:
  adapter-saved-<variant>/    adapter-<variant> with both modules beside it, moved a little away from the base. Tied: one
                              matrix (ensure_weight_tying), in the file under both names.
  saved-<variant>.safetensors all F32: of steps[0] "logits", "token_losses", "loss", "grad.<name in the adapter file>"; of the
                              training of scripts/goldens/training.py "losses", "grad_norm", "learning_rate", "final.<name>".

transformers' embeddings leave the row of pad_token_id out of their gradient, also where that token is a real one, such as the
end of a turn. Here every row trains, so padding_idx is taken off; padding itself has no gradient.
"""

import json
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import training
from model import DATA, LINEARS, backward_step, farthest, quiet, write_tensors

MODULES = ["embed_tokens", "lm_head"]


def base(variant):
    return AutoModelForCausalLM.from_pretrained(DATA, gguf_file=f"tiny-{variant}.gguf", dtype=torch.float32,
                                                attn_implementation="eager")


def directory(variant):
    return DATA / f"adapter-saved-{variant}"


def load(variant, dtype=torch.float32):
    model = PeftModel.from_pretrained(base(variant), directory(variant), is_trainable=True).to(dtype).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            module.padding_idx = None
    return model


def adapter(model):
    """Its parameters under the names of the adapter file; of tied modules the embedding's."""
    return {name.replace(".modules_to_save", "").replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}


def write_adapter(variant):
    model = base(variant)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM",
                                             modules_to_save=list(MODULES), ensure_weight_tying=variant == "tied"))
    lora = load_file(DATA / f"adapter-{variant}" / "adapter_model.safetensors")
    generator = torch.Generator().manual_seed(300)
    with torch.no_grad():
        for name, parameter in adapter(model).items():
            parameter.copy_(lora[name] if name in lora else parameter + 0.02 * torch.randn(parameter.shape, generator=generator))
    shutil.rmtree(directory(variant), ignore_errors=True)
    model.save_pretrained(directory(variant))
    (directory(variant) / "README.md").unlink(missing_ok=True)
    (directory(variant) / "adapter_model.safetensors").chmod(0o644)
    path = directory(variant) / "adapter_config.json"
    written = json.loads(path.read_text())
    written["base_model_name_or_path"] = f"tiny-{variant}"
    for key in ("target_modules", "modules_to_save"):
        written[key].sort()
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")


def results(variant, steps, dtype):
    model = load(variant, dtype)
    losses, logits = backward_step(model, steps[0])
    step = {"logits": logits, "token_losses": losses, "loss": losses.mean().reshape(1)}
    step |= {f"grad.{name}": p.grad.clone() for name, p in adapter(model).items()}
    training.load, training.adapter = load, adapter
    trained = training.train(variant, steps, dtype)
    return step | {("losses" if name == "loss" else name): value for name, value in trained.items()}


def main():
    quiet()
    steps = json.loads((DATA / "batches.json").read_text())["steps"]
    for variant in ("tied", "untied"):
        write_adapter(variant)
        found, again, exact = (results(variant, steps, t) for t in (torch.float32, torch.float32, torch.float64))
        assert all(torch.equal(found[name], again[name]) for name in found)
        write_tensors(DATA / f"saved-{variant}.safetensors", found)
        print(f"{variant}: loss {float(found['loss']):.7f}, trained to {found['losses'][-1]:.4f}; farthest from float64 "
              f"{farthest(found, exact):.1e}; whole modules {[n for n in adapter(load(variant)) if 'lora' not in n]}")


if __name__ == "__main__":
    main()
