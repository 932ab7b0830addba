"""The program on GPUs, here the emulated ones that it was linked with: training the real model on one card, on two with
NCCL's stand-in between the processes, and on the CPU; generating from what was trained.

The libraries' stand-ins are named by the environment (SHARDLORA_CUBLASLT_LIBRARY, SHARDLORA_NCCL_LIBRARY).
"""
import json
import os
import socket
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

    def test_machines_that_differ_are_told(self):
        self.write_recipe(max_steps=1, sequence_len=64)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        ranks = [subprocess.Popen([str(program.PROGRAM), "train", "recipe.yaml", "backend=cuda"], cwd=self.folder,
                                  env={**program.ENVIRONMENT, "RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": "2",
                                       "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                                       "EMULATED_CUDA_DRIVER": str(13000 + 10 * r)},
                                  stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for r in range(2)]
        told = [rank.communicate(timeout=program.PATIENCE)[1] for rank in ranks]
        self.assertEqual([rank.returncode for rank in ranks], [0, 0], told)
        self.assertRegex(told[0], r"driver for CUDA 13\.0.*rank 1 has Emulated GPU.*driver for CUDA 13\.1")
        self.assertEqual(told[1], "")

    def test_a_card_that_is_full_says_who_wants_what(self):
        self.write_recipe(backend="cuda")
        self.write("recipe.yaml", (self.folder / "recipe.yaml").read_text() + "memory:\n  device_limit: 40MiB\n")
        done = subprocess.run([str(program.PROGRAM), "train", "recipe.yaml"], cwd=self.folder, env=program.ENVIRONMENT,
                              text=True, capture_output=True, timeout=program.PATIENCE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("out of device memory", done.stderr)

    def check_says(self, words, ranks=1, **environment):
        arguments = ["train", "recipe.yaml"]
        command = program.shardrun(ranks, *arguments) if ranks > 1 else [str(program.PROGRAM), *arguments]
        done = subprocess.run(command, cwd=self.folder, env={**program.ENVIRONMENT, **environment}, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=program.PATIENCE)
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        told = [line for line in done.stderr.splitlines() if "shardlora: " in line]
        self.assertEqual(len(told), 1, done.stderr)  # one message, from one rank

    def test_what_is_wrong_with_the_machine_is_one_message_that_helps(self):
        self.write_recipe(backend="cuda", bf16="true")
        self.check_says(["no NVIDIA driver", "set backend: cpu"], EMULATED_CUDA_DRIVER="0")
        self.check_says(["driver is for CUDA 11.8", "update the driver"], EMULATED_CUDA_DRIVER="11080")
        self.check_says(["shows no GPU", "CUDA_VISIBLE_DEVICES"], EMULATED_CUDA_DEVICES="0")
        self.check_says(["SHARDLORA_CUBLASLT_LIBRARY=/absent.so"], SHARDLORA_CUBLASLT_LIBRARY="/absent.so")
        self.check_says(["GPU 0 has", "process 4242: 5.5 GiB, process 4243: 0.5 GiB, process 4244: 1.0 GiB"],
                        EMULATED_CUDA_MEMORY="300000000", LD_LIBRARY_PATH=os.environ["FAKE_NVML"])
        self.check_says(["out of memory", "end other programs", "process 4243"], EMULATED_CUDA_FAIL="cudaSetDevice:1:2",
                        LD_LIBRARY_PATH=os.environ["FAKE_NVML"])
        self.check_says(["rank 0 cannot compute in bf16", "6.1"], EMULATED_CUDA_CAPABILITY="6.1")
        self.check_says(["uncorrectable ECC", "reboot"], EMULATED_CUDA_FAIL="cudaMemcpyAsync:9:214")

    def test_what_is_wrong_with_nccl_is_one_message_of_one_rank(self):
        self.write_recipe(backend="cuda")
        self.check_says(["SHARDLORA_NCCL_LIBRARY=/absent.so"], ranks=2, SHARDLORA_NCCL_LIBRARY="/absent.so")
        self.check_says(["NCCL", "2.10"], ranks=2, FAKE_NCCL_VERSION="21003")


if __name__ == "__main__":
    program.main()
