"""A run that survives a kill: everything is on disk after every epoch."""

import time

import keras
import numpy as np

from common import outputs
from common.models import checkpoints
from common.runs import records, resume, schema, storage

SCORES = {"validation_loss": "val_cross_entropy", "validation_accuracy": "val_accuracy"}


class NotFinite(RuntimeError):
    """An epoch brought weights or scores that are NaN or infinite."""


class KeepRun(keras.callbacks.Callback):
    """Writes the weights to keep, the history and the state at the end of every epoch."""

    def __init__(self, folder, architecture, epochs, others=(), *, last=False):
        """Keep `epochs` epochs of a network of that architecture in a run folder.

        The weights are those of the best epoch by validation accuracy, or of the last one.
        Variables beside those of the model and its optimizer that a run goes on from are `others`.
        """
        super().__init__()
        self.folder = folder
        self.architecture = architecture
        self.epochs = epochs
        self.last = last
        self.others = others
        self.history = []
        self.best = {"epoch": 0, "validation_accuracy": -1.0}

    def restore(self, model):
        """Bring back the newest state, if any, and return the number of finished epochs.

        A damaged one is named and passed over for the one before it. The history, and the best
        weights where they are this state's, are written again.

        Raises:
            ValueError: there were finished epochs, and none of them can be gone on from.
        """
        problem = ""
        for path in resume.states(self.folder):
            try:
                self.history, self.best = self._restore(model, path)
            except ValueError as error:
                problem = problem or str(error)
                continue
            done = len(self.history)
            if problem:
                print(f"{problem}: passed over, going on after epoch {done}.")
            # A kill may have come after the state and before what follows it.
            storage.write_table(self.folder / "history.csv", self.history)
            if self.best["epoch"] == done:
                checkpoints.save(self.folder / "model.keras", model, self.architecture)
            return done
        if problem or (self.folder / "history.csv").exists():
            problem = problem or f"{self.folder / 'state'}: expected what history.csv tells of"
            raise ValueError(
                f"{problem}: no finished epoch is left to go on from: start again with --overwrite"
            )
        return 0

    def _restore(self, model, path):
        """Set a model to a saved state; return the history and the best epoch until then."""
        variables, (arrays, record) = self._variables(model), resume.read_state(path)
        schema.check_state(path, arrays, record)
        if len(record["history"]) != int(path.stem.removeprefix("epoch-")):
            raise ValueError(f"{path}: expected the epochs that its name says, found others")
        for index, variable in enumerate(variables):
            array = arrays.get(f"{index:04d}")
            if array is None or array.shape != tuple(variable.shape):
                raise ValueError(f"{path}: expected the variables of this network, found others")
        for index, variable in enumerate(variables):
            variable.assign(arrays[f"{index:04d}"])
        return record["history"], record["best"]

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Keep everything that the epoch brought; refuse what is not finite."""
        row = {
            "epoch": epoch + 1,
            "loss": logs["cross_entropy"],
            "accuracy": logs["accuracy"],
            **{ours: logs[name] for ours, name in SCORES.items() if name in logs},
            "learning_rate": float(self.model.optimizer.learning_rate),
            "seconds": time.perf_counter() - self.began,
        }
        row |= {name: logs[name] for name in schema.HISTORY_EXTRA if name in logs}
        arrays = {
            f"{index:04d}": np.asarray(variable)
            for index, variable in enumerate(self._variables(self.model))
        }
        try:
            schema.check(f"epoch {epoch + 1}", row, schema.HISTORY | schema.HISTORY_EXTRA)
            for array in arrays.values():
                schema.check_finite("a variable", array)
        except ValueError as error:
            raise NotFinite(error) from error
        self.history.append({key: float(f"{value:.6g}") for key, value in row.items()})
        self.history[-1]["epoch"] = epoch + 1
        kept = records.kept_epoch(self.history, last=self.last) is self.history[-1]
        if kept:
            accuracy = row.get("validation_accuracy", -1.0)
            self.best = {"epoch": epoch + 1, "validation_accuracy": accuracy}
        resume.save_state(
            self.folder, epoch + 1, arrays, {"history": self.history, "best": self.best}
        )
        if kept:  # after the state, of which `restore` can make it again
            checkpoints.save(self.folder / "model.keras", self.model, self.architecture)
        storage.write_table(self.folder / "history.csv", self.history)
        self._say(self.history[-1])

    def _say(self, row):
        """Print the epoch in one line, with the time that is left."""
        recent = [past["seconds"] for past in self.history[-5:]]
        left = (self.epochs - row["epoch"]) * sum(recent) / len(recent)
        scored = ""
        if "validation_accuracy" in row:
            scored = f"validation {row['validation_accuracy']:.4f}  "
            if not self.last:
                best = f"(best {self.best['validation_accuracy']:.4f}, epoch {self.best['epoch']})"
                scored = f"{scored.rstrip()} {best}  "
        if "pgd_accuracy" in row:
            scored += f"under PGD {row['pgd_accuracy']:.4f}  "
        print(
            f"epoch {row['epoch']}/{self.epochs}  loss {row['loss']:.4f}  "
            f"accuracy {row['accuracy']:.4f}  {scored}"
            f"{row['seconds']:.0f} s  {outputs.duration(left)} left",
            flush=True,
        )
        if records.collapsed(self.history):
            kept = "" if self.last else ": such epochs are not kept"
            print(
                "Warning: the accuracy under PGD has fallen to less than half, catastrophic "
                f"overfitting{kept}. If it does not recover, start again with a lower "
                "--learning-rate or a smaller --adversarial-training.",
                flush=True,
            )

    def _variables(self, model):
        """Return all that changes in training: weights, dropout seeds, the optimizer's own."""
        return [*model.variables, *model.optimizer.variables, *self.others]
