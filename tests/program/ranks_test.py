"""Ranks that mpirun starts as processes come to the same adapter, bit for bit, whatever their number."""
import program


class Ranks(program.ProgramTest):
    def result(self, *settings, ranks=0):
        """The adapter's bytes, loss and gradient norm of every step, and the highest peak of a rank."""
        output = f"out-{len(list(self.folder.iterdir()))}"
        self.train(*settings, f"output_dir={output}", ranks=ranks)
        steps = self.metrics(output)
        self.assertEqual(len(steps), 2)
        for step in steps:
            self.assertEqual(len(step["peak_device_bytes"]), max(1, ranks))
        adapter = (self.folder / output / program.ADAPTER).read_bytes()
        return adapter, [(s["loss"], s["grad_norm"]) for s in steps], max(steps[-1]["peak_device_bytes"])

    def newest_output(self):
        return max(self.folder.glob("out-*"), key=lambda path: path.stat().st_mtime_ns)

    def test_processes_give_the_same_adapter(self):
        self.write_recipe()
        adapter, losses, peak = self.result()
        self.assertNotEqual(losses[0], losses[1])

        # Computing activations again changes no bit either, nor where base and layer inputs rest.
        for ranks, *settings in [(1,), (2,), (3,), (4,), (2, "gradient_checkpointing=true", "sharding.strategy=full_shard"),
                                 (0, "offload.base=host", "offload.layer_inputs=host", "offload.optimizer=host"),
                                 (2, "offload.base=disk", "base_prepared_path=kept", "offload.layer_inputs=disk",
                                  "offload.optimizer=host")]:
            with self.subTest(ranks=ranks, settings=settings):
                its_adapter, its_losses, its_peak = self.result(*settings, ranks=ranks)
                self.assertEqual(its_losses, losses)
                self.assertTrue(its_adapter == adapter, "the adapters differ")
                if settings == [] and ranks == 2:
                    peak_of_two = its_peak

        # Nor does what is given up where memory is short of the fastest way.
        for ranks, limit in [(0, peak - (1 << 20)), (2, peak_of_two - (1 << 20))]:
            with self.subTest(ranks=ranks, limit=limit):
                its_adapter, its_losses, its_peak = self.result(f"memory.device_limit={limit}", ranks=ranks)
                self.assertEqual(its_losses, losses)
                self.assertTrue(its_adapter == adapter, "the adapters differ")
                self.assertLess(its_peak, limit)
                said = (self.newest_output() / "run.log").read_text()
                self.assertNotIn("activations kept" if ranks == 0 else "base whole on every rank; activations kept", said)

    def test_a_run_with_another_seed_differs(self):  # or the comparison above would see nothing
        self.write_recipe(max_steps=2)
        self.assertFalse(self.result()[0] == self.result("seed=43")[0])


if __name__ == "__main__":
    program.main()
