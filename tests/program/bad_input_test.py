"""Whatever is wrong with the input or the machine: one message that names it, from one rank; nothing half-written."""
import json
import os
import pathlib
import shutil
import struct

import program
from program import ADAPTER, MODEL, row

ARCHITECTURE = "general.architecture"


def gguf_string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def gguf_of_architecture(name):
    """A whole GGUF file (version 3) of no tensors and one key."""
    return (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_string(ARCHITECTURE) + struct.pack("<I", 8) +
            gguf_string(name) + bytes(32))


def model_head(old, new):
    """The real model's first bytes, the whole of its metadata, with one text in them replaced by one as long."""
    with open(MODEL, "rb") as file:
        head = file.read(8 << 20)
    old, new = gguf_string(old), gguf_string(new)
    assert head.count(old) == 1 and len(old) == len(new)
    return head.replace(old, new)


class BadInput(program.ProgramTest):
    def check(self, arguments, wanted, code=1, ranks=0):
        """The command fails with one message that holds all of `wanted`; an earlier run's adapter is left alone."""
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / ADAPTER).write_bytes(b"an earlier adapter")
        with self.subTest(" ".join(map(str, arguments)), ranks=ranks):
            got, _, err = self.run_program(*arguments, ranks=ranks)
            messages = [line for line in err.splitlines() if line.startswith("shardlora:")]
            self.assertEqual(len(messages), 1, err)
            for piece in wanted:
                self.assertIn(piece, messages[0])
            self.assertEqual(got, code, err)
            self.assertEqual((out / ADAPTER).read_bytes(), b"an earlier adapter")
            self.assertEqual(sorted(self.folder.rglob(ADAPTER)), [out / ADAPTER])

    def check_train(self, wanted, *settings, ranks=0, **changes):
        self.write_recipe(**changes)
        self.check(["train", "recipe.yaml", *settings], wanted, ranks=ranks)

    def check_folders(self):
        """Folders in the manner of Hugging Face, each wrong in one way."""
        config = {"architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 16, "intermediate_size": 16,
                  "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 64}
        header = b'{"model.norm.weight":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}'
        whole = struct.pack("<Q", len(header)) + header + bytes(64)
        index = '{"weight_map": {"model.norm.weight": "%s"}}'
        for name, files, wanted in [
                ("index", {"model.safetensors.index.json": index % "../model.safetensors"}, ["../model.safetensors"]),
                ("shard", {"model.safetensors.index.json": index % "a.safetensors"}, ["a.safetensors", "missing"]),
                ("cut", {"model.safetensors": whole[:-1]}, ["model.safetensors", "damaged"]),
                ("huge", {"model.safetensors": b"\xff" * 8 + whole}, ["model.safetensors", "header of"]),
                ("pickle", {"pytorch_model.bin": b""}, ["pytorch_model.bin", "save_pretrained"]),
                ("gptq", {"model.safetensors": whole, "config.json": config | {"quantization_config": {"quant_method": "gptq"}}},
                 ["gptq", "not supported yet"]),
                ("arch", {"model.safetensors": whole, "config.json": config | {"architectures": ["FrobForCausalLM"]}},
                 ["FrobForCausalLM", "Qwen3ForCausalLM"])]:
            folder = self.folder / name
            folder.mkdir()
            for file, content in ({"config.json": config} | files).items():
                content = json.dumps(content) if isinstance(content, dict) else content
                (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
            self.check_train([str(folder), *wanted], base_model=folder)

    def test_usage(self):
        commands = ["train", "eval", "generate", "preview", "tokenize"]
        self.check([], ["command", *commands], code=2)
        self.check(["frobnicate"], ["frobnicate", *commands], code=2)
        self.check(["train"], ["CONFIG"], code=2)
        self.check(["train", "--frob", "recipe.yaml"], ["--frob"], code=2)
        self.check(["generate", "--model", str(MODEL)], ["--prompt"], code=2)

    def test_recipe(self):
        self.check(["train", "absent.yaml"], ["absent.yaml", "No such file"])
        self.check_train(["recipe.yaml:8", "lerning_rate", '"learning_rate"'], lerning_rate=1)
        self.check_train(["lora_rr", '"lora_r"'], "lora_rr=4")
        self.check_train(["recipe.yaml:8", "learning_rate", "fast"], learning_rate="fast")
        self.check_train(["recipe.yaml", "base_model is missing"], base_model=None)
        self.check_train(["backend", "opencl", "auto, cpu, cuda"], backend="opencl")
        if not os.path.exists("/dev/nvidia0"):  # never a silent run on the CPU
            self.check_train(["backend: cuda: ", "or set backend: cpu"], backend="cuda")
        self.check_train(["load_in_8bit", "not supported", "load_in_4bit: true"], load_in_8bit="true")
        self.write("broken.yaml", "base_model: x\n  adapter: [\n")
        self.check(["train", "broken.yaml"], ["broken.yaml:2", "not valid YAML"])

    def test_model(self):
        with open(MODEL, "rb") as file:
            start = file.read(5000)
        for name, content, wanted in [
                ("cut.gguf", start, ["damaged"]),
                ("garbled.gguf", start[:24] + bytes(i * 37 % 256 for i in range(5000)), ["damaged"]),
                ("text.gguf", b"version https://git-lfs.github.com/spec/v1\n", ["GGUF"]),
                ("empty.gguf", b"", []),
                ("frob.gguf", gguf_of_architecture("frob"), ['unknown architecture "frob"', "llama"])]:
            self.write(name, content)
            self.check_train([name, *wanted], base_model=name)
        self.check_train(["absent.gguf", "No such file"], base_model="absent.gguf")
        self.check_train([str(self.folder), "give its path", ".gguf"], base_model=self.folder)
        self.check_folders()

    def test_pre_tokenizer(self):
        path = self.write("other.gguf", model_head("smollm", "smallm"))
        with open(path, "r+b") as file:  # a hole where the weights were
            file.truncate(MODEL.stat().st_size)
        self.check_train(["other.gguf", "smallm", "not supported", "smollm"], base_model="other.gguf")

    def test_rows(self):
        self.check_train(["rows.jsonl", "not one row of 2"], rows=["{not json", '{"messages": []}'])
        only_user = '{"messages": [{"role": "user", "content": "Hello?"}]}'
        self.check_train(["rows.jsonl", "not one row of 1"], rows=[only_user])
        self.check_train(["rows.jsonl:10", "10 bad rows", "assistant"], rows=[only_user] * 12)
        self.check_train(["rows.jsonl", "no rows"], rows=[])
        self.check_train(["sequence_len"], rows=[row("hello " * 50, "hello")], sequence_len=16)
        self.check_train(["absent.jsonl", "No such file"], "datasets=[{path: absent.jsonl, type: chat_template}]")

    def test_a_few_bad_rows_are_named_and_left_out(self):
        self.write_recipe(rows=[program.ROWS[0], "{not json", program.ROWS[1]], max_steps=1, global_batch_size=2)
        self.assertRegex(self.train(), r"(?m)^warning: rows.jsonl:2: row left out: not valid JSON")

    def test_output_directory(self):
        self.write("file", "")
        self.check_train(["file/out", "output_dir"], output_dir="file/out")  # holds for root too, unlike permissions

    def test_adapter(self):
        self.check_train(["lora_target_modules", "frob_proj", "q_proj"], lora_target_modules="[q_proj, frob_proj]")
        self.check_train(["nothing", "adapter_config.json"], lora_model_dir="nothing")
        # What it starts from has r = 4, alpha = 8 and all linears; what agrees with that passes, what doesn't is named.
        tiny = pathlib.Path(__file__).resolve().parents[1] / "data" / "model" / "adapter-tied"
        agrees = {"lora_model_dir": tiny, "lora_r": 4}
        self.check_train(["recipe.yaml:3: lora_r: 1", "has 4"], lora_model_dir=tiny)
        self.check_train(["lora_rank: 8", "has 4"], "lora_rank=8", **agrees)
        self.check_train(["recipe.yaml:8: lora_alpha: 16", "has 8"], lora_alpha=16, **agrees)
        self.check_train(["recipe.yaml:8: use_rslora: true", "has false"], use_rslora="true", **agrees)
        self.check_train(["recipe.yaml:8: lora_target_modules: [q_proj]", "has [down_proj, "],
                         lora_target_modules="[q_proj]", **agrees)
        self.check_train(["recipe.yaml:8: lora_modules_to_save: [lm_head]", "has none"], lora_modules_to_save="[lm_head]",
                         **agrees)
        self.check_train(["does not fit the model"], lora_target_linear="true", lora_alpha=8, **agrees)
        self.check(["generate", "--model", str(MODEL), "--adapter", "nothing", "--prompt", "Hi"],
                   ["nothing", "adapter_config.json"])

    def test_memory(self):
        self.check_train(["need", "free", "memory.device_limit"], "memory.device_limit=50MiB")

    def test_ranks_speak_with_one_voice(self):
        self.check_train(["recipe.yaml:8", "lerning_rate"], ranks=2, lerning_rate=1)
        self.check_train(["absent.gguf", "No such file"], ranks=2, base_model="absent.gguf")
        self.write("file", "")
        self.check_train(["file/out"], ranks=2, output_dir="file/out")  # only the first rank sees it
        self.check_train(["need", "memory.device_limit"], "memory.device_limit=30MiB", ranks=2)
        self.check(["frobnicate"], ["frobnicate"], code=2, ranks=2)


if __name__ == "__main__":
    program.main()
