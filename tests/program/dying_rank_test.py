"""A rank that dies takes the job with it: soon, with a failing exit code, and leaving nothing behind."""
import os
import pathlib
import signal
import time

import program

SECONDS = 10


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def ranks_under(pid):
    """Process number of each rank below a process."""
    found = {}
    for child in (int(c) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                  for c in (task / "children").read_text().split()):
        variables = pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        for variable in variables:
            if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                found[int(variable.partition(b"=")[2])] = child
    return found


class DyingRank(program.ProgramTest):
    def check_death_of(self, victim):
        self.write_recipe(max_steps=100000, output_dir=f"out-{victim}")
        job = self.start("train", "recipe.yaml", ranks=2)
        self.addCleanup(job.kill)
        self.wait_for_first_step(job, f"out-{victim}")
        ranks = ranks_under(job.pid)
        self.assertEqual(sorted(ranks), [0, 1])
        os.kill(ranks[victim], signal.SIGKILL)
        end = time.monotonic() + SECONDS
        while (job.poll() is None or any(map(alive, ranks.values()))) and time.monotonic() < end:
            time.sleep(0.05)
        left = [rank for rank, pid in ranks.items() if alive(pid)]
        for rank in left:
            os.kill(ranks[rank], signal.SIGKILL)
        self.assertEqual(left, [], f"ranks that live on {SECONDS} s later")
        self.assertIsNotNone(job.poll(), "mpirun waits for ever")
        _, err = job.communicate()
        self.assertNotEqual(job.returncode, 0)
        self.assertNotIn("internal error", err)
        self.assertEqual(sorted(path.name for path in (self.folder / f"out-{victim}").iterdir()),
                         ["config.resolved.yaml", "metrics.jsonl", "run.log"])
        self.assertTrue(self.metrics(f"out-{victim}"))  # every line of it is whole
        self.assertEqual([p for p in pathlib.Path("/dev/shm").iterdir() if "shardlora" in p.name], [])

    def test_the_first_one(self):
        self.check_death_of(0)

    def test_another_one(self):
        self.check_death_of(1)


if __name__ == "__main__":
    program.main()
