"""The program on GPUs, here the emulated ones that it was linked with: training the real model on one card, on two with
NCCL's stand-in between the processes, and on the CPU; generating from what was trained.

The libraries' stand-ins are named by the environment (SHARDLORA_CUBLASLT_LIBRARY, SHARDLORA_NCCL_LIBRARY).
"""
import json
import subprocess
import unittest

import program


class Gpu(program.ProgramTest):
    def train(self, output, backend, ranks=1):
        arguments = ["train", "recipe.yaml", f"output_dir={output}", f"backend={backend}"]
        command = program.shardrun(ranks, *arguments) if ranks > 1 else [str(program.PROGRAM), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=program.ENVIRONMENT, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=program.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        metrics = (self.folder / output / program.METRICS).read_text().splitlines()
        self.assertNotIn("share a GPU", done.stdout + done.stderr)  # these have one each
        return [json.loads(line)["loss"] for line in metrics], (self.folder / output / program.ADAPTER).read_bytes()

    def test_cards_give_the_cpus_losses_and_each_others_bits(self):
        rows = [program.row("Say two.", "2"), program.row("Say three.", "3")]
        self.write_recipe(rows=rows, global_batch_size=2, max_steps=2, learning_rate=1e-3, bf16="false",
                          sequence_len=64, warmup_steps=0)
        losses, one = self.train("one", "cuda")
        self.assertEqual(len(losses), 2)
        _, two = self.train("two", "cuda", ranks=2)
        self.assertEqual(one, two)
        on_cpu, _ = self.train("cpu", "cpu")
        for gpu, cpu in zip(losses, on_cpu):
            self.assertAlmostEqual(gpu, cpu, delta=2e-4 * abs(cpu))

    def test_a_card_that_is_full_says_who_wants_what(self):
        self.write_recipe(backend="cuda")
        self.write("recipe.yaml", (self.folder / "recipe.yaml").read_text() + "memory:\n  device_limit: 40MiB\n")
        done = subprocess.run([str(program.PROGRAM), "train", "recipe.yaml"], cwd=self.folder, env=program.ENVIRONMENT,
                              text=True, capture_output=True, timeout=program.PATIENCE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("out of device memory", done.stderr)


if __name__ == "__main__":
    program.main()
