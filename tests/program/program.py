"""The program as a user starts it: a recipe on disk, a command line, what comes back.

    python3 tests/program/ranks_test.py build/shardlora [Class.test …]      what ctest does, for one file

The tests need the real model (SHARDLORA_TEST_MODEL, else ${XDG_CACHE_HOME:-~/.cache}/shardlora) and are skipped where
it is absent; with CI=true they fail there.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

SKIPPED = 77  # ctest's SKIP_RETURN_CODE
PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()
PATIENCE = 200  # seconds for one run, far above what it takes: a hang ends here, with a message
_CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
MODEL = pathlib.Path(os.environ.get("SHARDLORA_TEST_MODEL") or
                     _CACHE / "shardlora" / "SmolLM2-135M-Instruct.Q4_1.gguf")
ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               # Other tests run at the same time: threads that spin while they wait would stall them all.
               "OMP_WAIT_POLICY": "passive"}

METRICS, ADAPTER = "metrics.jsonl", "adapter_model.safetensors"


def row(user, assistant):
    return json.dumps({"messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]})


ROWS = [row(f"Count from {i} to {i + 3}.", ", ".join(str(n) for n in range(i, i + 4))) for i in range(12)]


SHARDRUN = pathlib.Path(__file__).resolve().parents[2] / "launch" / "shardrun"


def shardrun(ranks, *arguments):
    """The program's own launcher. The script looks for the program in the build folder, the tests name theirs."""
    return [str(PROGRAM), "launch", "--nproc-per-node", str(ranks), "--", *map(str, arguments)]


def mpirun(ranks):
    return ["mpirun", "-q", "--oversubscribe", "-np", str(ranks)]


class ProgramTest(unittest.TestCase):
    """Each test has a folder of its own, the working directory of every command it starts."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="shardlora-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def write(self, name, text):
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def write_recipe(self, rows=None, **changes):
        """A short run over `rows`; `changes` replace keys (None: left out) or add some, from line 8 on."""
        self.write("rows.jsonl", "\n".join(ROWS if rows is None else rows) + "\n")
        keys = {"base_model": str(MODEL), "adapter": "qlora", "lora_r": 1, "max_steps": 2, "global_batch_size": 6,
                "micro_batch_size": 1, "output_dir": "out", **changes}
        lines = [f"{key}: {value}" for key, value in keys.items() if value is not None]
        lines += ["datasets:", "  - path: rows.jsonl", "    type: chat_template", ""]
        self.write("recipe.yaml", "\n".join(lines))

    def start(self, *arguments, ranks=0, **options):
        command = (mpirun(ranks) if ranks else []) + [str(PROGRAM), *arguments]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL, text=True,
                                **options)

    def run_program(self, *arguments, ranks=0):
        """Exit code, stdout, stderr."""
        process = self.start(*arguments, ranks=ranks)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.fail(f"{process.args} hangs; it said: {err}")
        return process.returncode, out, err

    def train(self, *settings, ranks=0):
        """A run that has to succeed. What it wrote to stderr."""
        code, _, err = self.run_program("train", "recipe.yaml", *settings, ranks=ranks)
        self.assertEqual(code, 0, err)
        return err

    def metrics(self, output="out"):
        return [json.loads(line) for line in (self.folder / output / METRICS).read_text().splitlines()]

    def wait_for_first_step(self, process, output="out"):
        path = self.folder / output / METRICS
        end = time.monotonic() + PATIENCE
        while not (path.exists() and path.read_text().count("\n") > 0):
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                self.fail(f"no first step; it said: {process.communicate()[1]}")
            time.sleep(0.05)


def main():
    if not MODEL.exists():
        print(f"{MODEL} is absent: scripts/get_model fetches it, or name a copy with SHARDLORA_TEST_MODEL")
        sys.exit(1 if os.environ.get("CI") == "true" else SKIPPED)
    unittest.main(verbosity=2)
