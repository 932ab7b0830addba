"""What generate and chat say, alone and on two ranks."""
import subprocess

import program


class Talk(program.ProgramTest):
    def generate(self, *settings, ranks=0):
        return self.generated(*settings, ranks=ranks)[0]

    def generated(self, *settings, ranks=0):
        """What it says, and what is told beside it."""
        code, out, err = self.run_program("generate", "--model", str(program.MODEL), "--prompt", "Name three colours.",
                                          "--max-new-tokens", "12", *settings, ranks=ranks)
        self.assertEqual(code, 0, err)
        return out, err

    def chat(self, text, *settings, ranks=0):
        command = (program.mpirun(ranks) if ranks else []) + [
            str(program.PROGRAM), "chat", "--model", str(program.MODEL), "--max-new-tokens", "12", *settings]
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=self.folder,
                              env=program.ENVIRONMENT, timeout=program.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.splitlines()

    def test_the_same_seed_draws_the_same_text_on_any_number_of_ranks(self):
        drawn = ["--temperature", "1.5", "--seed", "3"]
        first = self.generate(*drawn)
        self.assertGreater(len(first.strip()), 0)
        self.assertEqual(self.generate(*drawn, ranks=2), first)
        self.assertNotEqual(self.generate("--temperature", "1.5", "--seed", "4"), first)
        self.assertNotEqual(self.generate(), first)

    def test_a_base_in_host_memory_gives_the_same_text_and_says_what_a_token_takes(self):
        here, told = self.generated()
        self.assertNotIn("token", told, "nothing is brought to the device")
        out, told = self.generated("--offload", "host", ranks=2)
        self.assertEqual(out, here)
        self.assertRegex(told, r"(?m)^every token takes 0\.\d\d GB from host memory, on each of 2 ranks\n"
                               r"the first token took \d+\.\d\d s, those after it take about as long$")

    def test_a_nucleus_of_next_to_nothing_is_greedy(self):
        self.assertEqual(self.generate("--temperature", "2", "--top-p", "0.000001"), self.generate())

    def test_a_conversation_goes_on_until_it_is_cleared(self):
        question = "Now translate this into French."
        said = "\n".join([question, "", "Write one sentence about the sea.", question, "/clear", "/nonsense", question]) + "\n"
        alone = self.chat(said, "--temperature", "0")
        first, _, later, complaint, cleared = alone
        self.assertIn("unknown command /nonsense", complaint)
        self.assertNotEqual(later, first)
        self.assertEqual(cleared, first)
        self.assertEqual(self.chat(said, "--temperature", "0", ranks=2), alone)

    def test_what_does_not_fit_is_told_and_forgotten(self):
        lines = self.chat("Hi.\n" + "long " * 300 + "\nHi.\n", "--context", "100", "--temperature", "0")
        self.assertEqual(sum("more than --context (100)" in line for line in lines), 1, lines)

    def test_wrong_settings_are_usage_errors(self):
        for settings in (["--top-p", "0"], ["--temperature", "-1"], ["--max-new-tokens", "0"]):
            code, _, err = self.run_program("generate", "--model", str(program.MODEL), "--prompt", "Hi", *settings)
            self.assertEqual(code, 2, err)
            self.assertEqual(len(err.strip().splitlines()), 1, err)


if __name__ == "__main__":
    program.main()
