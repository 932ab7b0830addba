"""Goldens of tiny random models of every architecture and rotary scaling, saved by transformers as folders.

torch 2.15.0, transformers 5.23.0, peft 0.21.2, gguf 0.19.0; command: scripts/make_goldens architectures (after model)

Writes into tests/data/architectures:
  <variant>/               config.json and safetensors (one file or shards with an index) as save_pretrained makes them
  <variant>/adapter/       a PEFT LoRA adapter (r 4, alpha 8) on all linears
  <variant>/golden.safetensors   as model.py's model-<variant>.safetensors, of tests/data/model/batches.json's first step
  <variant>.gguf           for some: the same weights as llama.cpp's converter lays them out
  rope.json                inverse frequencies and attention factors of transformers' ROPE_INIT_FUNCTIONS
All computed in float32 and checked against float64.
"""

import json
import shutil
from pathlib import Path

import gguf
import numpy
import torch
from peft import PeftModel
from transformers import (AutoConfig, AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

import model as llama

DATA = Path(__file__).resolve().parents[2] / "tests" / "data" / "architectures"
THETA = {"rope_theta": 500.0}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64} | THETA
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16} | THETA
LINEAR = {"rope_type": "linear", "factor": 2.5} | THETA

# Configuration class, what differs, dtype of the files, largest shard (None: one file), also as GGUF.
VARIANTS = {
    "llama3": (LlamaConfig, {"rope_parameters": LLAMA3}, torch.bfloat16, "16KB", True),
    "llama-yarn": (LlamaConfig, {"rope_parameters": YARN, "tie_word_embeddings": True}, torch.float16, None, True),
    "llama-linear": (LlamaConfig, {"rope_parameters": LINEAR}, torch.float32, "40KB", False),
    "llama-biased": (LlamaConfig, {"attention_bias": True, "mlp_bias": True}, torch.bfloat16, None, False),
    "mistral": (MistralConfig, {"head_dim": 16, "sliding_window": 32}, torch.bfloat16, "16KB", False),
    "qwen2": (Qwen2Config, {}, torch.bfloat16, None, True),
    "qwen2-tied": (Qwen2Config, {"tie_word_embeddings": True}, torch.float16, None, False),
    "qwen3": (Qwen3Config, {"head_dim": 24}, torch.bfloat16, "16KB", True),
    # Its configuration says afterwards that the head is the embedding, which it is not: transformers 5 uses both.
    "qwen2-two-heads": (Qwen2Config, {}, torch.bfloat16, None, False),
}


GGUF_TYPES = {torch.bfloat16: gguf.GGMLQuantizationType.BF16, torch.float16: gguf.GGMLQuantizationType.F16}


def tiny(variant, seed):
    kind, differs, dtype, _, _ = VARIANTS[variant]
    config = kind(vocab_size=llama.VOCAB, hidden_size=llama.HIDDEN, intermediate_size=llama.INTERMEDIATE,
                  num_hidden_layers=llama.LAYERS, num_attention_heads=llama.HEADS, num_key_value_heads=llama.KV_HEADS,
                  max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=2, dtype=dtype,
                  **({"rope_parameters": {"rope_type": "default"} | THETA} | differs))
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1 + 0.3 * noise)
            elif "embed_tokens" in name or name.endswith(".bias"):
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
            parameter.copy_(parameter.to(dtype).float())
    return model


def load(variant, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(DATA / variant, dtype=torch.float32, attn_implementation="eager")
    return PeftModel.from_pretrained(model, DATA / variant / "adapter", is_trainable=True).to(dtype).train()


def step_results(variant, step, dtype):
    model = load(variant, dtype)
    losses, logits = llama.backward_step(model, step)
    results = {"logits": logits, "token_losses": losses, "loss": losses.mean().reshape(1)}
    return results | {f"grad.{name}": p.grad.clone() for name, p in llama.adapter(model).items()}


def write_gguf(model, path):
    config = model.config
    architecture = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}[config.model_type]
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "llama3":  # the converter stores what the frequencies are divided by
        plain = 1 / rope["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim)
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
        writer.add_tensor("rope_freqs.weight", (plain / scaled).numpy().astype(numpy.float32))
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture.upper()), config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        array = tensor.float().numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2], 0)
        if architecture == "llama" and heads:  # rotate-half order -> adjacent pairs
            array = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
        kind = GGUF_TYPES[tensor.dtype] if tensor.dim() == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")),
                          gguf.quants.quantize(numpy.ascontiguousarray(array), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rope_cases():
    """Configurations as real models have them, in both spellings."""
    return [
        {"head_dim": 64, "rope_theta": 100000.0},
        {"head_dim": 128, "rope_theta": 500000.0, "max_position_embeddings": 131072, "rope_scaling": {
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}},
        {"head_dim": 64, "max_position_embeddings": 131072, "rope_parameters": {
            "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
            "rope_theta": 500000.0, "rope_type": "llama3"}},
        {"head_dim": 128, "rope_theta": 100000.0, "max_position_embeddings": 16384, "rope_scaling": {"type": "linear", "factor": 4.0}},
        {"head_dim": 128, "rope_theta": 1000000.0, "max_position_embeddings": 32768,
         "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}},
        {"head_dim": 64, "rope_theta": 10000.0, "max_position_embeddings": 4096, "rope_scaling": {"factor": 16.0, "rope_type": "yarn"}},
        {"head_dim": 96, "max_position_embeddings": 65536, "rope_parameters": {
            "factor": 40.0, "original_max_position_embeddings": 4096, "rope_type": "yarn", "rope_theta": 10000.0,
            "beta_fast": 16.0, "beta_slow": 2.0, "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False}},
        {"head_dim": 64, "max_position_embeddings": 131072, "rope_parameters": {
            "factor": 32.0, "original_max_position_embeddings": 4096, "rope_type": "yarn", "rope_theta": 150000.0, "attention_factor": 1.25}},
    ]


def write_rope(path):
    cases = []
    for keys in rope_cases():
        json_keys = keys | {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "num_attention_heads": 4,
                            "num_hidden_layers": 1, "intermediate_size": 64, "vocab_size": 32}
        config = AutoConfig.for_model(**json.loads(json.dumps(json_keys)))
        kind = config.rope_parameters["rope_type"]
        if kind == "default":
            inverse, factor = 1 / keys["rope_theta"] ** (torch.arange(0, keys["head_dim"], 2).float() / keys["head_dim"]), 1.0
        else:
            inverse, factor = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
        cases.append({"config": json_keys, "inverse_frequencies": [float(f"{f:.9g}") for f in inverse.tolist()],
                      "attention_factor": float(factor)})
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


def main():
    llama.quiet()
    DATA.mkdir(parents=True, exist_ok=True)
    step = json.loads((llama.DATA / "batches.json").read_text())["steps"][0]
    write_rope(DATA / "rope.json")
    for seed, (variant, (_, _, dtype, shard, as_gguf)) in enumerate(VARIANTS.items()):
        folder = DATA / variant
        shutil.rmtree(folder, ignore_errors=True)
        model = tiny(variant, 300 + seed)
        model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        (folder / "generation_config.json").unlink(missing_ok=True)
        if variant == "qwen2-two-heads":
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}, indent=2) + "\n")
        for file in folder.iterdir():
            file.chmod(0o644)
        assert shard is None or len(list(folder.glob("model-*.safetensors"))) > 1
        if as_gguf:
            write_gguf(model, DATA / f"{variant}.gguf")
        llama.write_adapter(model.float(), folder / "adapter", 400 + seed)
        read = load(variant).unload()
        for name, value in model.state_dict().items():
            assert torch.equal(value.float(), read.state_dict()[name].float()), name
        results, again, exact = (step_results(variant, step, t) for t in (torch.float32, torch.float32, torch.float64))
        assert all(torch.equal(results[name], again[name]) for name in results)
        llama.write_tensors(folder / "golden.safetensors", results)
        print(f"{variant}: loss {float(results['loss']):.7f}, farthest from float64 {llama.farthest(results, exact):.1e}")


if __name__ == "__main__":
    main()
