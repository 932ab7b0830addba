"""The quickstart's task on this machine's GPU: what is learned there answers as many held-out orders as on the CPU."""
import ctypes
import json
import subprocess
import sys
import unittest

import program

ROOT = program.SHARDRUN.parents[1]


def gpus():
    """As the driver counts them; asked without our own code, which would else decide whether it is tested."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    return count.value if cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


class Quickstart(program.ProgramTest):
    def run_in_root(self, verb, *arguments):
        command = [str(program.PROGRAM), verb, "configs/quickstart.yaml", f"base_model={program.MODEL}", "backend=cuda"]
        done = subprocess.run([*command, *arguments], cwd=ROOT, env=program.ENVIRONMENT, stdin=subprocess.DEVNULL,
                              text=True, capture_output=True, timeout=900)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_learns_to_turn_orders_into_json(self):
        adapter = str(self.folder / "out")
        self.run_in_root("train", f"output_dir={adapter}")
        score = json.loads(self.run_in_root("eval", "--answers", "--json", "--adapter", adapter).splitlines()[-1])
        self.assertGreaterEqual(score["exact"], 0.85 * score["answered"])


if __name__ == "__main__":
    if gpus() == 0:
        print("Skipped: no NVIDIA driver that shows a GPU")
        sys.exit(program.SKIPPED)
    program.main()
