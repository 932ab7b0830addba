"""A checkpoint that bitsandbytes and transformers wrote is trained over as it is stored."""
import json
import pathlib
import shutil

import program

CHECKPOINT = pathlib.Path(__file__).resolve().parents[1] / "data/nf4/llama"
LETTERS = "abcdefgh"
ROWS = [LETTERS[i:] + LETTERS[:i] for i in range(8)]


class Bitsandbytes(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "model"
        shutil.copytree(CHECKPOINT, self.model)
        # The checkpoint has embeddings for ten tokens.
        ends = [{"id": 8 + i, "content": text, "special": True} for i, text in enumerate(["<s>", "</s>"])]
        vocabulary = {letter: i for i, letter in enumerate(LETTERS)}
        tokenizer = {"added_tokens": ends, "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}
        self.write("model/tokenizer.json", json.dumps(tokenizer))
        self.write("model/tokenizer_config.json", json.dumps({"eos_token": "</s>"}))
        self.write("rows.jsonl", "".join(json.dumps({"text": row}) + "\n" for row in ROWS))
        self.write("recipe.yaml", "base_model: model\nadapter: qlora\nlora_r: 2\nmax_steps: 3\nglobal_batch_size: 4\n"
                   "sequence_len: 16\nlearning_rate: 0.01\nbf16: false\nfp16: false\n"
                   "datasets: [{path: rows.jsonl, type: completion}]\n")

    def adapter(self, output, *settings, ranks=0):
        err = self.train(f"output_dir={output}", *settings, ranks=ranks)
        return (self.folder / output / program.ADAPTER).read_bytes(), err

    def test_rests_as_it_is_on_any_number_of_ranks(self):
        one, err = self.adapter("one")
        self.assertNotIn("a second time", err)
        two, _ = self.adapter("two", ranks=2)
        self.assertEqual(one, two)
        log = (self.folder / "two" / "run.log").read_text()
        self.assertIn("1 layers in nf4 (block 64, double quantisation, rounded to bf16), f32, embedding and head in f32", log)
        resolved = (self.folder / "one" / "config.resolved.yaml").read_text()
        self.assertIn('quantization:\n  format: "nf4"\n  group_size: 64\n  double_quant: true\n', resolved)

        # The recipe that names it is the same run; other numbers are another base, quantised a second time.
        code, _, err = self.run_program("train", "one/config.resolved.yaml", "output_dir=again")
        self.assertEqual(code, 0, err)
        self.assertNotIn("a second time", err)
        self.assertEqual((self.folder / "again" / program.ADAPTER).read_bytes(), one)
        other, err = self.adapter("other", "quantization.format=nf4", "quantization.group_size=128")
        self.assertIn("rounds its weights a second time", err)
        self.assertNotEqual(other, one)

    def test_that_lacks_a_part_is_refused_before_training(self):
        path = self.model / "model.safetensors"
        path.write_bytes(path.read_bytes().replace(b"up_proj.weight.absmax", b"up_proj.weight.absmxa", 1))
        code, _, err = self.run_program("train", "recipe.yaml", "output_dir=out")
        self.assertEqual(code, 1, err)
        self.assertIn("has no model.layers.0.mlp.up_proj.weight.absmax; fetch the model again", err)
        self.assertFalse((self.folder / "out" / program.ADAPTER).exists())


if __name__ == "__main__":
    program.main()
