"""Ctrl-C during training ends the run after the step, and what it learned so far is kept."""
import signal

import program


class Interrupt(program.ProgramTest):
    def test_keeps_the_adapter_so_far(self):
        self.write_recipe(max_steps=100000)
        run = self.start("train", "recipe.yaml")
        self.addCleanup(run.kill)
        self.wait_for_first_step(run)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=program.PATIENCE)
        self.assertEqual(run.returncode, 1, err)
        messages = [line for line in err.splitlines() if line.startswith("shardlora:")]
        self.assertEqual(len(messages), 1, err)
        steps = len(self.metrics())
        for piece in (f"after step {steps} of 100000", "adapter", "lora_model_dir=out"):
            self.assertIn(piece, messages[0])

        # The adapter names its base and how that rested.
        question = ["generate", "--adapter", "out", "--prompt", "Count from 1 to 4.", "--max-new-tokens", "4"]
        code, out, err = self.run_program(*question)
        self.assertEqual(code, 0, err)
        self.assertTrue(out.strip())
        self.assertIn(f"base {program.MODEL}, gguf, as the adapter was trained", err)
        self.assertEqual(self.run_program(*question, "--model", str(program.MODEL))[1], out)

        # The advice in the message works: another run goes on from that adapter.
        self.train("lora_model_dir=out", "output_dir=next", "max_steps=1")

    def test_under_mpirun(self):
        self.write_recipe(max_steps=100000)
        job = self.start("train", "recipe.yaml", ranks=2)
        self.addCleanup(job.kill)
        self.wait_for_first_step(job)
        job.send_signal(signal.SIGTERM)
        _, err = job.communicate(timeout=60)
        self.assertNotEqual(job.returncode, 0)
        self.assertLessEqual(len([line for line in err.splitlines() if line.startswith("shardlora:")]), 1, err)


if __name__ == "__main__":
    program.main()
