"""What a run prints and leaves in its directory."""
import json
import os
import pty
import re

import program

METRICS = ["step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "target_tokens", "tokens_per_second",
           "peak_device_bytes", "peak_host_bytes", "waits"]


class Output(program.ProgramTest):
    def test_of_a_run(self):
        self.write_recipe(max_steps=3, profile="trace.json")
        err = self.train(ranks=2)
        self.assertNotRegex(err, r"[\x00-\x09\x0b-\x1f\x7f]", "control characters in what is no terminal")
        progress = [line for line in err.splitlines() if line.startswith("step ")]
        self.assertEqual([line.split()[1] for line in progress], ["1/3", "2/3", "3/3"])
        for line in progress:
            self.assertLessEqual(len(line), 80, line)
            self.assertRegex(line, r"loss \d+\.\d+ .*tok/s .*left \d+:\d\d")

        steps = self.metrics()
        for number, step in enumerate(steps, 1):
            self.assertEqual(list(step)[:len(METRICS)], METRICS)
            self.assertEqual(step["step"], number)
            self.assertEqual(step["epoch"], number / 2)  # 12 rows, 6 a step
            for peak in ("peak_device_bytes", "peak_host_bytes"):
                self.assertEqual(len(step[peak]), 2)
                self.assertGreater(min(step[peak]), 1 << 20)
            self.assertEqual(list(step["waits"]), ["read", "upload", "gather", "reduce", "layer_inputs"])
            for hop, seconds in step["waits"].items():
                self.assertEqual(len(seconds), 2, hop)
            self.assertEqual(step["waits"]["read"], [0, 0], "nothing rests on disk")
            self.assertGreater(min(step["waits"]["gather"]), 0, "adapters are always shared out")
            self.assertGreater(min(step["waits"]["reduce"]), 0, "gradients are sent to their owners")
            self.assertGreater(step["tokens"], step["target_tokens"])
            self.assertGreater(step["target_tokens"], 0)
            self.assertGreater(step["tokens_per_second"], 0)
        self.assertEqual(len(steps), 3)
        self.assertIn("adapter written to out", (self.folder / "out" / "run.log").read_text())
        for rank in range(2):
            trace = json.loads((self.folder / f"trace.rank{rank}.json").read_text())
            self.assertEqual({event["pid"] for event in trace}, {rank})
            threads = {event["args"]["name"] for event in trace if event["name"] == "thread_name"}
            self.assertEqual(threads, {"compute", "gathers", "reductions"})
            self.assertEqual(sum(event["name"] == "optimizer" for event in trace), 3, "one a step")
        self.assertRegex(err, r"(?m)^warning: only 3 steps \(max_steps\): the adapter will hardly change. max_steps: 20")

    def test_of_an_evaluation_has_the_loss_of_every_row(self):
        self.write_recipe(micro_batch_size=3, bf16="false")
        tests = "test_datasets=[{path: rows.jsonl, type: chat_template, split: '%s'}]"
        code, out, err = self.run_program("eval", "recipe.yaml", tests % "train[:4]", "--json", "--losses", "losses.jsonl", ranks=2)
        self.assertEqual(code, 0, err)
        rows = [json.loads(line) for line in (self.folder / "losses.jsonl").read_text().splitlines()]
        self.assertEqual([(row["file"], row["line"]) for row in rows], [("rows.jsonl", line) for line in (1, 2, 3, 4)])
        whole, tokens = json.loads(out.splitlines()[-1]), sum(row["target_tokens"] for row in rows)
        self.assertEqual(tokens, whole["tokens"])
        self.assertAlmostEqual(sum(row["loss"] * row["target_tokens"] for row in rows) / tokens, whole["eval_loss"], places=12)

        # Of the second row alone.
        code, out, err = self.run_program("eval", "recipe.yaml", tests % "train[1:2]", "--json")
        self.assertEqual(code, 0, err)
        alone = json.loads(out.splitlines()[-1])
        self.assertEqual(alone["tokens"], rows[1]["target_tokens"])
        self.assertAlmostEqual(alone["eval_loss"], rows[1]["loss"], places=4)

    def test_of_a_run_that_gets_worse_says_so(self):
        self.write_recipe(rows=program.ROWS[:4], max_steps=4, global_batch_size=1, learning_rate=0.3, lr_scheduler="constant")
        err = self.train().splitlines()
        told = next(i for i, line in enumerate(err) if line.startswith("warning: step ") and "the loss rose to" in line)
        self.assertTrue(any(line.startswith("step 4/4") for line in err[told:]), err)
        self.assertRegex(err[-1], r"^warning: adapter written to out, but the loss ended at [\d.]+, above the [\d.]+ where it began")

    def test_the_resolved_recipe_gives_the_same_run_and_the_first_one_is_kept(self):
        self.write_recipe(max_steps=1)
        self.train()
        out = self.folder / "out"
        first = {path.name: path.read_bytes() for path in out.iterdir()}
        self.assertEqual(sorted(first), ["adapter_config.json", program.ADAPTER, "config.resolved.yaml",
                                         program.METRICS, "numerics.json", "run.log"])
        numerics = json.loads(first["numerics.json"])
        self.assertEqual(list(numerics), ["shardlora", "compute_dtype", "computed_by"])
        self.assertIn(numerics["compute_dtype"], ("bf16", "f32"))
        self.assertRegex(numerics["computed_by"][0], r"^CPU with A\S+, own kernels in \d+-bit registers, oneDNN \d")
        self.assertIn(json.dumps(numerics, separators=(",", ":")), first["run.log"].decode())
        (self.folder / "resolved.yaml").write_bytes(first["config.resolved.yaml"])
        code, _, err = self.run_program("train", "resolved.yaml")
        self.assertEqual(code, 0, err)
        kept = {path.name: path.read_bytes() for path in (out / "previous-1").iterdir()}
        self.assertEqual(kept, first)
        for name in (program.ADAPTER, "adapter_config.json", "config.resolved.yaml", "numerics.json"):
            self.assertTrue((out / name).read_bytes() == first[name], f"{name} differs")

    def test_of_a_run_in_f16_says_its_loss_scale(self):
        self.write_recipe(rows=program.ROWS[:1], max_steps=1, global_batch_size=1, fp16="true")
        self.train()
        self.assertEqual(self.metrics()[0]["loss_scale"], 65536)
        self.assertIn("computing in f16 with loss scaling", (self.folder / "out" / "run.log").read_text())
        resolved = (self.folder / "out" / "config.resolved.yaml").read_text()
        self.assertIn("bf16: false\nfp16: true\n", resolved)

    def test_a_terminal_shows_one_line_that_is_rewritten(self):
        self.write_recipe()
        screen, terminal = pty.openpty()
        run = self.start("train", "recipe.yaml", stderr=terminal)
        os.close(terminal)
        text = b""
        try:
            while part := os.read(screen, 4096):
                text += part
        except OSError:  # the other side is closed
            pass
        os.close(screen)
        run.communicate(timeout=program.PATIENCE)
        self.assertEqual(run.returncode, 0, text)
        shown = text.decode().replace("\r\n", "\n")
        last = [line for line in shown.split("\n") if "tok/s" in line]
        self.assertEqual(len(last), 1, shown)
        self.assertRegex(last[0], r"^\r\[#+\.+\] 1/2 \| loss .* \| left \d+:\d\d.*\r\[#+\] 2/2 \| loss .* \| left 0:00")
        for line in re.sub("\x1b\\[[0-9;]*[A-Za-z]", "", last[0]).split("\r"):
            self.assertLessEqual(len(line), 79, line)


if __name__ == "__main__":
    program.main()
