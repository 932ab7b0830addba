"""Goldens of a tiny Llama with LoRA on every linear: logits, token losses and every adapter gradient of one step.

torch 2.15.0, transformers 5.23.0, peft 0.21.2, gguf 0.19.0; command: scripts/make_goldens model

Writes into tests/data/model:
  tiny-<variant>.gguf     F32, made with the gguf package as llama.cpp's converter lays it out (Q/K rows in rotary-pair
                          order). Variants: tied, untied, wide (untied, head_dim 16 where hidden/heads is 8). The tokenizer
                          is byte-level BPE with 96 tokens: printable ASCII without #$%&*@^`~, a few merges, three specials.
  adapter-<variant>/      a PEFT LoRA adapter (r 4, alpha 8), A and B both random.
  batches.json            "steps": lists of micro-batches, each a list of samples {"tokens", "trained"}; trained[i]: token i
                          is a target, predicted from the tokens before it. Samples do not see each other.
  model-<variant>.safetensors   of steps[0] with that adapter, all F32: "logits" (rows of micro-batch 0, one sample after the
                          other, vocab), "token_losses" (of all targets in order), "loss" (1) their mean over the step,
                          "grad.<name in the adapter file>".
Everything is computed in float32 and checked against float64.
"""

import json
import os
import shutil
import warnings
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"
import gguf
import numpy
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers import logging as transformers_logging

DATA = Path(__file__).resolve().parents[2] / "tests" / "data" / "model"
VARIANTS = {"tied": (True, 8), "untied": (False, 8), "wide": (False, 16)}  # tied embeddings, head_dim
VOCAB, HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS = 96, 32, 64, 2, 4, 2
ROPE_THETA = 500.0  # not the default, so that reading it shows
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PREFIX = "base_model.model."
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_config(tied, head_dim):
    return LlamaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INTERMEDIATE, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=head_dim, max_position_embeddings=256,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA}, tie_word_embeddings=tied,
        attn_implementation="eager", bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )


def random_model(tied, head_dim, seed):
    generator = torch.Generator().manual_seed(seed)
    model = LlamaForCausalLM(tiny_config(tied, head_dim)).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name:
                parameter.copy_(1 + 0.3 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
    return model


def vocabulary():
    """96 tokens, their types and their merges."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    characters = [chr(c) for c in range(0x21, 0x7F) if chr(c) not in "#$%&*@^`~"] + ["\u0120", "\u010a"]  # space, newline
    merges = ["t h", "th e", "\u0120 a", "e r", "i n", "\u0120 t"]
    tokens = specials + characters + [merge.replace(" ", "") for merge in merges]
    assert len(tokens) == VOCAB and len(set(tokens)) == VOCAB, len(tokens)
    return tokens, [3] * 3 + [1] * (VOCAB - 3), merges


def write_gguf(model, path, tied, head_dim):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(path.stem)
    writer.add_type("model")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_quantization_version(2)
    writer.add_block_count(LAYERS)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(ROPE_THETA)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB)
    if head_dim != HIDDEN // HEADS:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    tokens, types, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    state = model.state_dict()

    def add(name, tensor, heads=0):
        array = tensor.numpy().astype(numpy.float32)
        if heads:  # rotate-half order -> adjacent pairs
            rows, columns = array.shape
            array = array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
        writer.add_tensor(name, numpy.ascontiguousarray(array))

    add("token_embd.weight", state["model.embed_tokens.weight"])
    for layer in range(LAYERS):
        for theirs, ours in names.items():
            heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(ours, 0)
            add(f"blk.{layer}.{ours}.weight", state[f"model.layers.{layer}.{theirs}.weight"], heads)
    add("output_norm.weight", state["model.norm.weight"])
    if not tied:
        add("output.weight", state["lm_head.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_adapter(model, directory, seed):
    generator = torch.Generator().manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise / parameter.shape[-1] ** 0.5 if "lora_A" in name else 0.1 * noise)
    shutil.rmtree(directory, ignore_errors=True)
    adapted.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)
    (directory / "adapter_model.safetensors").chmod(0o644)
    config_path = directory / "adapter_config.json"
    written = json.loads(config_path.read_text())
    written["base_model_name_or_path"] = directory.name.replace("adapter", "tiny")
    written["target_modules"].sort()  # PEFT keeps a set
    config_path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    return adapted.unload()


def make_batches():
    """Three steps of three micro-batches: walks through the vocabulary with a stride of their own and some noise."""
    random = numpy.random.default_rng(20)

    def sample(length):
        start, stride = int(random.integers(VOCAB)), int(random.integers(1, 7))
        tokens = [(start + i * stride) % VOCAB if random.random() < 0.85 else int(random.integers(VOCAB)) for i in range(length)]
        prompt = int(random.integers(1, max(2, length // 2)))
        trained = [int(i >= prompt and random.random() < 0.9) for i in range(length)]
        trained[-1] = 1
        return {"tokens": tokens, "trained": trained}

    sizes = [[2, 3, 1], [1, 2, 2], [3, 1, 2]]
    return [[[sample(int(random.integers(3, 20))) for _ in range(count)] for count in step] for step in sizes]


def load(variant, dtype=torch.float32):
    """The model and the adapter as their files give them."""
    model = AutoModelForCausalLM.from_pretrained(DATA, gguf_file=f"tiny-{variant}.gguf", dtype=torch.float32,
                                                 attn_implementation="eager")
    adapted = PeftModel.from_pretrained(model, DATA / f"adapter-{variant}", is_trainable=True)
    return adapted.to(dtype).train()


def micro_batch_losses(model, samples):
    """Losses of the targets of right-padded samples in order, and the logits of the real rows."""
    longest = max(len(sample["tokens"]) for sample in samples)
    tokens = torch.tensor([sample["tokens"] + [2] * (longest - len(sample["tokens"])) for sample in samples])
    mask = torch.tensor([[1] * len(sample["tokens"]) + [0] * (longest - len(sample["tokens"])) for sample in samples])
    logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits
    losses, rows = [], []
    for sample, own in zip(samples, logits):
        targets = [i for i, trained in enumerate(sample["trained"]) if trained]
        losses.append(torch.nn.functional.cross_entropy(
            own[[i - 1 for i in targets]], torch.tensor([sample["tokens"][i] for i in targets]), reduction="none"))
        rows.append(own[: len(sample["tokens"])])
    return torch.cat(losses), torch.cat(rows)


def backward_step(model, step):
    """Leaves the gradients of the mean loss over all targets of the step. Returns the losses and micro-batch 0's logits."""
    model.zero_grad()
    count = sum(sum(sample["trained"]) for samples in step for sample in samples)
    losses, logits = [], None
    for samples in step:
        own, rows = micro_batch_losses(model, samples)
        (own.sum() / count).backward()
        losses.append(own.detach())
        logits = rows.detach() if logits is None else logits
    return torch.cat(losses), logits


def adapter(model):
    """Its parameters under the names of the adapter file."""
    return {name.replace(".default", ""): p for name, p in model.named_parameters() if p.requires_grad}


def step_results(variant, step, dtype):
    model = load(variant, dtype)
    losses, logits = backward_step(model, step)
    results = {"logits": logits, "token_losses": losses, "loss": losses.mean().reshape(1)}
    return results | {f"grad.{name}": p.grad.clone() for name, p in adapter(model).items()}


def farthest(results, exact):
    """The largest ||difference|| / ||exact|| over all tensors."""
    return max(float((results[name].double() - exact[name].double()).norm() / exact[name].double().norm()) for name in exact)


def quiet():
    transformers_logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    torch.use_deterministic_algorithms(True)


def write_tensors(path, tensors):
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    path.chmod(0o644)


def main():
    quiet()
    DATA.mkdir(parents=True, exist_ok=True)
    steps = make_batches()
    (DATA / "batches.json").write_text(json.dumps({"steps": steps}, separators=(",", ":")) + "\n")
    for seed, (variant, (tied, head_dim)) in enumerate(VARIANTS.items()):
        model = random_model(tied, head_dim, 100 + seed)
        model = write_adapter(model, DATA / f"adapter-{variant}", 200 + seed)
        write_gguf(model, DATA / f"tiny-{variant}.gguf", tied, head_dim)
        read = load(variant).unload()
        assert read.config.rope_parameters["rope_theta"] == ROPE_THETA
        for name, value in model.state_dict().items():
            assert torch.equal(value, read.state_dict()[name]), name
        assert set(load_file(DATA / f"adapter-{variant}" / "adapter_model.safetensors")) == set(adapter(load(variant)))
        results, again, exact = (step_results(variant, steps[0], t) for t in (torch.float32, torch.float32, torch.float64))
        assert all(torch.equal(results[name], again[name]) for name in results)
        write_tensors(DATA / f"model-{variant}.safetensors", results)
        print(f"{variant}: loss {float(results['loss']):.7f}, farthest from float64 {farthest(results, exact):.1e}")


if __name__ == "__main__":
    main()
