"""Ranks of launch/shardrun: the same adapter as alone and under mpirun, nothing left behind, however the job ends."""
import os
import pathlib
import signal
import subprocess
import time
import unittest

import program
from dying_rank_test import alive

SECONDS = 10


def ranks_under(pid):
    """Process number of each rank below the launcher."""
    found = {}
    for child in map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        for variable in pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            if variable.startswith(b"RANK="):
                found[int(variable.partition(b"=")[2])] = child
    return found


class Shardrun(program.ProgramTest):
    def start_job(self, ranks, *arguments, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        job = subprocess.Popen(program.shardrun(ranks, *arguments), cwd=self.folder, env=program.ENVIRONMENT,
                               stdin=subprocess.DEVNULL, text=True, **options)
        self.addCleanup(job.kill)
        return job

    def run_job(self, ranks, *arguments):
        job = self.start_job(ranks, *arguments)
        out, err = job.communicate(timeout=program.PATIENCE)
        return job.returncode, out, err

    def check_all_gone(self, ranks):
        end = time.monotonic() + SECONDS
        while any(map(alive, ranks.values())) and time.monotonic() < end:
            time.sleep(0.05)
        left = [rank for rank, pid in ranks.items() if alive(pid)]
        for rank in left:
            os.kill(ranks[rank], signal.SIGKILL)
        self.assertEqual(left, [], f"ranks that live on {SECONDS} s later")

    def running_job(self, ranks=2):
        """A job that has done its first step, and its ranks."""
        self.write_recipe(max_steps=100000)
        job = self.start_job(ranks, "train", "recipe.yaml")
        self.wait_for_first_step(job)
        found = ranks_under(job.pid)
        self.assertEqual(sorted(found), list(range(ranks)))
        return job, found

    def test_gives_the_same_adapter(self):
        self.write_recipe()
        self.train("output_dir=alone")
        wanted = (self.folder / "alone" / program.ADAPTER).read_bytes()
        for ranks in (1, 2, 3):
            with self.subTest(ranks=ranks):
                code, _, err = self.run_job(ranks, "train", "recipe.yaml", f"output_dir=out{ranks}")
                self.assertEqual(code, 0, err)
                self.assertTrue((self.folder / f"out{ranks}" / program.ADAPTER).read_bytes() == wanted)
                self.assertEqual(len(self.metrics(f"out{ranks}")[0]["peak_device_bytes"]), ranks)
        self.train("output_dir=mpi", ranks=2)
        self.assertTrue((self.folder / "mpi" / program.ADAPTER).read_bytes() == wanted)

    def test_a_killed_rank_takes_the_job_with_it(self):
        for victim in (0, 1):
            with self.subTest(victim=victim):
                job, ranks = self.running_job()
                os.kill(ranks[victim], signal.SIGKILL)
                start = time.monotonic()
                _, err = job.communicate(timeout=60)
                self.assertLess(time.monotonic() - start, SECONDS)
                self.check_all_gone(ranks)
                self.assertEqual(job.returncode, 128 + signal.SIGKILL)
                self.assertIn(f"rank {victim} (process {ranks[victim]}) was ended by signal 9 (Killed)", err)
                self.assertNotIn("internal error", err)
                self.assertFalse((self.folder / "out" / program.ADAPTER).exists())
                (self.folder / "out" / program.METRICS).unlink()

    def test_a_killed_launcher_leaves_no_rank(self):
        job, ranks = self.running_job()
        job.kill()
        job.communicate()
        self.check_all_gone(ranks)

    def test_a_signal_stops_the_ranks_after_their_step(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                job, ranks = self.running_job()
                job.send_signal(number)
                _, err = job.communicate(timeout=60)
                self.check_all_gone(ranks)
                self.assertEqual(job.returncode, 1, err)  # 75 once a run can be resumed
                messages = [line for line in err.splitlines() if "shardlora:" in line]
                self.assertEqual(len(messages), 1, err)
                self.assertIn(f"after step {len(self.metrics())} of 100000", messages[0])
                self.assertTrue((self.folder / "out" / program.ADAPTER).exists())
                (self.folder / "out" / program.METRICS).unlink()

    def test_a_second_signal_ends_it_at_once(self):
        job, ranks = self.running_job()
        os.kill(ranks[1], signal.SIGSTOP)  # no step can end
        job.send_signal(signal.SIGTERM)
        time.sleep(1)
        self.assertIsNone(job.poll())
        job.send_signal(signal.SIGTERM)
        os.kill(ranks[1], signal.SIGCONT)
        job.communicate(timeout=SECONDS)
        self.check_all_gone(ranks)
        self.assertNotEqual(job.returncode, 0)

    def test_the_first_failing_ranks_exit_code_and_one_message(self):
        code, _, err = self.run_job(3, "train", "missing.yaml")
        self.assertEqual(code, 1)
        self.assertEqual(err.count("missing.yaml"), 1, err)
        code, _, err = self.run_job(2, "trian", "recipe.yaml")
        self.assertEqual(code, 2)
        self.assertEqual(err.count("unknown command"), 1, err)

    def test_lines_of_other_ranks_carry_their_number(self):
        # Rank 0 is stopped before it can serve; the others say who does not answer, or are ended with the job.
        blocker = __import__("socket").create_server(("127.0.0.1", 0))
        self.addCleanup(blocker.close)
        port = blocker.getsockname()[1]
        job = subprocess.Popen([str(program.PROGRAM), "launch", "--nproc_per_node=2", f"--master-port={port}", "--",
                                "train", "recipe.yaml"], cwd=self.folder, env=program.ENVIRONMENT, text=True,
                               stderr=subprocess.PIPE)
        _, err = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 1)
        self.assertIn(f"port {port} of 127.0.0.1 is in use", err)
        for line in err.splitlines():
            self.assertTrue(line.startswith(("shardlora:", "[rank 1] shardlora:")), err)

    def test_bad_usage(self):
        for arguments, wanted in [([], "what shall the ranks run?"),
                                  (["--nproc-per-node", "2"], "what shall the ranks run?"),
                                  (["--nproc-per-node", "0", "--", "train", "x"], "not a number from 1"),
                                  (["--nproc-per-node", "gpu", "--", "train", "x"], "not a number"),
                                  (["--nproc-per-node", "--", "train", "x"], "needs a number"),
                                  (["--nnodes", "2", "--", "train", "x"], "--nnodes: this version"),
                                  (["--max-restarts=3", "--", "train", "x"], "--max-restarts: this version"),
                                  (["--master-port", "70000", "--", "train", "x"], "to 65535"),
                                  (["train", "recipe.yaml"], "comes after --")]:
            with self.subTest(arguments=arguments):
                done = subprocess.run([str(program.PROGRAM), "launch", *arguments], capture_output=True, text=True,
                                      timeout=60)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(wanted, done.stderr)

    def test_help(self):
        for option in ("--help", "-h"):
            done = subprocess.run([str(program.PROGRAM), "launch", option], capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("--nproc-per-node", done.stdout)

    @unittest.skipUnless((program.SHARDRUN.parent / ".." / "build" / "shardlora").exists(), "the program is elsewhere")
    def test_the_script_finds_the_program(self):
        done = subprocess.run([str(program.SHARDRUN), "--help"], capture_output=True, text=True, timeout=60, cwd="/")
        self.assertEqual(done.returncode, 0, done.stderr)
        lonely = self.folder / "launch" / "shardrun"
        lonely.parent.mkdir()
        lonely.write_bytes(program.SHARDRUN.read_bytes())
        lonely.chmod(0o755)
        done = subprocess.run([str(lonely), "--help"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("scripts/build", done.stderr)


if __name__ == "__main__":
    program.main()
