"""scripts/big_model_demo, with shapes that take seconds."""
import ctypes
import pathlib
import re
import subprocess

import program

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "big_model_demo"


class BigModel(program.ProgramTest):
    def demo(self, *arguments, shape="tiny", tokens=64):
        command = [str(SCRIPT), "--dir", str(self.folder / "demo"), "--shape", shape, "--tokens", str(tokens), "--program",
                   str(program.PROGRAM), "--maker", str(program.PROGRAM.parent / "tests" / "make_random_base"), *arguments]
        done = subprocess.run(command, env=program.ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=program.PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_trains_over_the_base_that_it_made_and_deletes_it(self):
        code, out, err = self.demo("--layers", "2", "lora_r=3")
        self.assertEqual(code, 0, err)
        self.assertIn("base: 2 layers in nf4 (block 64, double quantisation), embedding and head in bf16", err)
        self.assertIn("adapter: rank 3,", err)
        self.assertIn("2 ranks", err)
        self.assertRegex(out, r"(?m)^step 1: \d+\.\d s, 128 tokens, loss \d\.\d+\nstep 2: ")
        self.assertRegex(out, r"(?m)^peak of each rank: \d\.\d\d, \d\.\d\d GB resident$")
        peak = re.search(r"(?m)^peak of the job: (\d+\.\d+) GB", out)
        self.assertIsNotNone(peak, out)
        self.assertGreater(float(peak.group(1)), 0.01)
        self.assertFalse((self.folder / "demo").exists())

    def test_keeps_a_base_and_takes_no_other_folder(self):
        code, _, err = self.demo("--ranks", "1", "--steps", "1", "--keep")
        self.assertEqual(code, 0, err)
        base = self.folder / "demo" / "base" / "base.pb"
        made = base.stat().st_mtime_ns
        code, _, err = self.demo("--ranks", "1", "--steps", "1", "--keep")
        self.assertEqual(code, 0, err)
        self.assertEqual(base.stat().st_mtime_ns, made)
        code, _, err = self.demo("--layers", "3")
        self.assertEqual(code, 1)
        self.assertIn("is there already and not a base of this shape", err)
        self.assertTrue(base.exists())

    def test_deletes_the_base_where_training_fails(self):
        code, _, err = self.demo("--ranks", "1", "lora_r=none")
        self.assertEqual(code, 1)
        self.assertIn("train ended with exit code 1", err)
        self.assertFalse((self.folder / "demo").exists())

    def test_a_rank_grows_by_its_share_of_every_layer_that_rests_on_it(self):
        # Huge pages, where there are some, would make memory resident that nobody has touched.
        set_thp_disable = 41
        self.assertEqual(ctypes.CDLL(None).prctl(set_thp_disable, 1, 0, 0, 0), 0)
        self.addCleanup(ctypes.CDLL(None).prctl, set_thp_disable, 0, 0, 0, 0)
        layers, resting, mapped = 21, [], []
        # The device's limit decides how many stay. What the host may have is what loading takes: no layer.
        for device_limit in ("155MiB", "210MiB", "318MiB"):
            code, out, err = self.demo("--layers", str(layers), "--steps", "4", "--rows", "1", "--keep", "lora_r=4", "gradient_checkpointing=true",
                                       "offload.layer_inputs=none", f"memory.device_limit={device_limit}",
                                       "memory.host_limit=72MiB", shape="small", tokens=16)
            self.assertEqual(code, 0, err)
            where = re.search(r"base shared out, (\d+) of 21 layers on disk", err)
            self.assertIsNotNone(where, err)
            resting.append(layers - int(where.group(1)))
            seen = re.search(r"mapped by each rank: (\d+\.\d+), (\d+\.\d+) MB", out)
            self.assertIsNotNone(seen, out)
            mapped.append([1e6 * float(rank) for rank in seen.groups()])
        self.assertEqual(resting, [5, 10, 20])
        tables = 2 * 512 * 2048 * 2
        share = ((self.folder / "demo" / "base" / "tensors.bin").stat().st_size - tables) / layers / 2
        for i in (1, 2):
            for rank in (0, 1):
                grown = (mapped[i][rank] - mapped[i - 1][rank]) / (resting[i] - resting[i - 1])
                self.assertLess(abs(grown / share - 1), 0.01, f"{resting[i]} layers, rank {rank}: {mapped}")


if __name__ == "__main__":
    program.main()
