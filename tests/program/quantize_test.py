"""A base that is prepared once is the model: same bits for any number of ranks, never half there."""
import json
import os
import shutil
import signal
import time

import program
from program import ADAPTER, MODEL


class Quantize(program.ProgramTest):
    def quantize(self, *arguments, ranks=0):
        """What it said on stdout and stderr."""
        code, out, err = self.run_program("quantize", "--model", str(MODEL), *arguments, ranks=ranks)
        self.assertEqual(code, 0, err)
        return out, err

    def adapter(self, output, *settings, ranks=0):
        self.train(f"output_dir={output}", *settings, ranks=ranks)
        return (self.folder / output / ADAPTER).read_bytes()

    def test_trains_the_same_bits_as_the_model_that_it_was_made_of(self):
        self.write_recipe()
        out, err = self.quantize("--out", "base", ranks=2)
        self.assertIn("becomes 0.10 GB in base: 30 layers in Q4_1, embedding and head in Q8_0", err)
        self.assertIn("train with base_model: base", out)
        of_model = self.adapter("of-model")
        self.assertEqual(self.adapter("of-base", "base_model=base", ranks=2), of_model)
        resolved = (self.folder / "of-base" / "config.resolved.yaml").read_text()
        self.assertIn("base_model: \"base\"", resolved)

        # It needs neither the model nor the folder's name.
        moved = self.folder / "elsewhere"
        shutil.move(self.folder / "base", moved)
        question = ["--prompt", "Count from 1 to 4.", "--max-new-tokens", "4"]
        code, answer, err = self.run_program("generate", "--model", str(moved), *question)
        self.assertEqual(code, 0, err)
        self.assertEqual(answer, self.run_program("generate", "--model", str(MODEL), *question)[1])

        out, _ = self.quantize("--out", str(moved))
        self.assertIn("holds this base already", out)
        code, _, err = self.run_program("quantize", "--model", str(MODEL), "--out", str(moved), "--format", "nf4")
        self.assertEqual(code, 1)
        self.assertIn("holds another base already", err)

    def test_keeps_what_a_run_quantised_for_the_next_one(self):
        self.write_recipe()
        nf4 = "quantization.format=nf4"
        not_kept = self.adapter("not-kept", nf4, "base_prepared_path=none")
        self.assertEqual(self.adapter("first", nf4, "base_prepared_path=kept", ranks=2), not_kept)
        (base,) = (self.folder / "kept").glob("nf4-*[!.lock]")
        said = (self.folder / "first" / "run.log").read_text()
        self.assertIn(f"preparing once: {MODEL} becomes 0.09 GB in {base.relative_to(self.folder)}", said)
        made = (base / "base.pb").stat().st_mtime_ns

        self.assertEqual(self.adapter("second", nf4, "base_prepared_path=kept"), not_kept)
        said = (self.folder / "second" / "run.log").read_text()
        self.assertIn("prepared by an earlier run: kept/nf4-", said)
        self.assertEqual((base / "base.pb").stat().st_mtime_ns, made)
        adapter = json.loads((self.folder / "second" / "adapter_config.json").read_text())
        self.assertEqual(adapter["base_model_name_or_path"], str(MODEL))

        # Other numbers are another base, and what is not quantised is none.
        self.adapter("other", nf4, "quantization.double_quant=false", "base_prepared_path=kept")
        self.adapter("dense", "adapter=lora", "quantization.format=bf16", "base_prepared_path=kept")
        self.assertEqual(len(list((self.folder / "kept").glob("*/base.pb"))), 2)

    def test_gives_modules_formats_of_their_own(self):
        self.write_recipe()
        overrides = "quantization.overrides={down_proj: bf16, '(q|k)_proj': nf4}"
        _, err = self.quantize("--out", "base", "--group-size", "128", overrides)
        self.assertIn("30 layers in nf4 (block 128, double quantisation), Q4_1, bf16, embedding and head in Q8_0", err)
        of_model = self.adapter("of-model", overrides, "quantization.group_size=128")
        self.assertEqual(self.adapter("of-base", "base_model=base"), of_model)
        self.assertNotEqual(self.adapter("of-model-as-it-is"), of_model)

    def test_goes_on_after_a_kill(self):
        """f32: half a gigabyte, so that there is something to go on with."""
        self.quantize("--format", "f32", "--out", "whole")
        killed = self.start("quantize", "--model", str(MODEL), "--format", "f32", "--out", "base")
        self.addCleanup(killed.kill)
        part = self.folder / "base" / "base.part-0"
        end, sizes = time.monotonic() + program.PATIENCE, set()
        while len(sizes) < 3 and killed.poll() is None and time.monotonic() < end:  # a plan, then checksums twice
            if part.exists():
                sizes.add(part.stat().st_size)
            time.sleep(0.001)
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        if (self.folder / "base" / "base.pb").exists():
            self.skipTest("it was done before it could be killed")

        self.write_recipe(base_model="base")
        code, _, err = self.run_program("train", "recipe.yaml")
        self.assertEqual(code, 1)
        self.assertIn("base: this base is not finished; the same shardlora quantize command goes on with it", err)

        _, err = self.quantize("--format", "f32", "--out", "base")
        self.assertIn("going on with the base in base: 0.", err)
        self.assertEqual(sorted(os.listdir(self.folder / "base")), ["base.pb", "metadata.gguf", "tensors.bin"])
        for file in ("base.pb", "tensors.bin"):
            self.assertEqual((self.folder / "base" / file).read_bytes(), (self.folder / "whole" / file).read_bytes())

    def test_says_what_is_wrong(self):
        self.write("thesis.txt", "years")
        for arguments, message in [
            (["--model", str(MODEL), "--out", "."], "holds thesis.txt, which is of no base"),
            (["--model", "nowhere", "--out", "base"], "nowhere: No such file or folder"),
            (["--model", str(MODEL), "--out", "thesis.txt/base"], "thesis.txt/base"),
        ]:
            code, _, err = self.run_program("quantize", *arguments)
            self.assertEqual(code, 1, err)
            self.assertIn(message, err)
        code, _, err = self.run_program("quantize", "--model", str(MODEL), "--out", "base", "--format", "nf-4")
        self.assertEqual(code, 2)
        self.assertIn("--format", err)
        for setting, message in [
            ("quantization.overrides={down_prj: bf16}", "\"down_prj\" is the end of no module's name; modules are"),
            ("quantization.overrides={down_proj: nf-4}", "down_proj: unknown value \"nf-4\"; did you mean \"nf4\"?"),
            ("quantization.overrides={'(down': bf16}", "(down"),
            ("quantization.overrides=bf16", "expected a mapping such as {down_proj: bf16}, got \"bf16\""),
            ("quantization.format=nf4", "only quantization.overrides is taken here"),
        ]:
            code, _, err = self.run_program("quantize", "--model", str(MODEL), "--out", "base", setting)
            self.assertEqual(code, 1, err)
            self.assertIn(message, err)
        self.assertFalse((self.folder / "base").exists())


if __name__ == "__main__":
    program.main()
