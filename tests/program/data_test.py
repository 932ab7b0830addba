"""Datasets as a user meets them: every format of configs/data-formats.yaml, what preview shows, what is kept."""
import json
import pathlib

import program

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


class Data(program.ProgramTest):
    def preview(self, *arguments):
        code, out, err = self.run_program("preview", *arguments)
        self.assertEqual(code, 0, err)
        return out, err

    def test_preview_shows_every_format(self):
        text = (TOP / "configs" / "data-formats.yaml").read_text().replace("path: data/", f"path: {TOP}/data/")
        self.write("formats.yaml", text)
        out, err = self.preview("formats.yaml", f"base_model={program.MODEL}", "--rows", "20")
        for shown in ("⟦Air scatters blue light more than red.<|im_end|>⟧", "⟦13.<|im_end|>⟧", "⟦Guten Morgen.<|im_end|>⟧",
                      "### Response:⟦apple, fig, pear<|im_end|>⟧", "⟦one two three<|im_end|>⟧\n", "⟦ cold<|im_end|>⟧",
                      "⟦Down.<|im_end|>⟧", "gets old before it arrives.\n<|im_end|>⟧"):
            self.assertIn(shown, out)
        self.assertNotIn("\n! ", out)
        self.assertEqual(out.count("\n--- ") + out.startswith("--- "), 13)
        self.assertRegex(out, r"to train on: 13 samples, [\d,]+ tokens, [\d.]+ % of them trained")
        self.assertNotIn("\x1b", out)
        self.assertEqual(err, "")

    def test_a_type_that_is_left_out_is_recognised(self):
        self.write("rows.csv", "instruction,output\nSay hi.,hi\n")
        self.write("recipe.yaml", f"base_model: {program.MODEL}\nadapter: qlora\ndatasets: [{{path: rows.csv}}]\n")
        out, err = self.preview("recipe.yaml")
        self.assertIn("rows.csv: recognised as alpaca by the keys of its first row (instruction, output)", err)
        self.assertIn("### Response:⟦hi<|im_end|>⟧", out)

    def test_prepared_samples_are_read_by_every_rank_and_made_anew_when_damaged(self):
        self.write_recipe(max_steps=1, dataset_prepared_path="kept")
        self.train(ranks=2)
        (kept,) = (self.folder / "kept").iterdir()
        first = json.loads((self.folder / "out" / program.METRICS).read_text().splitlines()[0])
        err = self.train()
        self.assertIn(f"samples read from kept/{kept.name}", err)
        again = json.loads((self.folder / "out" / program.METRICS).read_text().splitlines()[0])
        self.assertEqual(first["loss"], again["loss"])
        damaged = bytearray(kept.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        kept.write_bytes(damaged)
        self.assertRegex(self.train(), r"(?m)^warning: kept/.*: these prepared samples are damaged \(its checksum is wrong\)")
        self.assertIn("samples read from", self.train())

    def test_the_audit_is_printed_before_training(self):
        self.write_recipe(rows=program.ROWS + program.ROWS[:3], max_steps=1, val_set_size=2)
        err = self.train()
        self.assertRegex(err, r"(?m)^! 3 samples are exact repeats of others;$")
        self.assertRegex(err, r"(?m)^held out: 2 samples$")
        self.assertIn("⟦", err)


if __name__ == "__main__":
    program.main()
