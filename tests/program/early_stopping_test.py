"""A run that stops learning ends early and keeps the adapter that was best."""
import program


class EarlyStopping(program.ProgramTest):
    def test_ends_the_run_and_writes_the_best_adapter(self):
        # A rate so high that the eval loss rises again.
        self.write_recipe(max_steps=40, learning_rate=0.03, val_set_size=4, eval_steps=2, early_stopping_patience=2,
                          lr_scheduler="constant",
                          load_best_model_at_end=True)
        err = self.train()
        lines = self.metrics()
        evals = {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}
        last = max(line["step"] for line in lines if "loss" in line)
        best = min(evals, key=evals.get)
        self.assertLess(last, 40, "never stopped")
        self.assertIn("stopping early", err)
        self.assertEqual([line for line in lines if "best_step" in line],
                         [{"best_step": best, "best_eval_loss": evals[best]}])
        self.assertLess(best, last)

        # The adapter in the directory is the best one: as a run that ends there leaves it, bit for bit.
        kept = (self.folder / "out" / program.ADAPTER).read_bytes()
        self.train("output_dir=short", f"max_steps={best}", "early_stopping_patience=",
                   "load_best_model_at_end=false")
        self.assertTrue((self.folder / "short" / program.ADAPTER).read_bytes() == kept)


if __name__ == "__main__":
    program.main()
