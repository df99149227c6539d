"""A run that survives a kill: everything is on disk after every epoch."""

import time

import keras
import numpy as np

from common.models import checkpoints
from common.runs import resume, schema, storage


class NotFinite(RuntimeError):
    """An epoch brought weights or scores that are NaN or infinite."""


class KeepRun(keras.callbacks.Callback):
    """Writes the best weights, the history and the state at the end of every epoch."""

    def __init__(self, folder, architecture, epochs):
        """Keep `epochs` epochs of a network of that architecture in a run folder."""
        super().__init__()
        self.folder = folder
        self.architecture = architecture
        self.epochs = epochs
        self.history = []
        self.best = {"epoch": 0, "validation_accuracy": -1.0}

    def restore(self, model):
        """Bring back the newest state, if any, and return the number of finished epochs.

        A damaged one is named and passed over for the one before it. The best weights are written
        again where they are this state's, as a kill may have come before that.

        Raises:
            ValueError: there were finished epochs, and none of them can be gone on from.
        """
        states, problem = resume.states(self.folder), None
        for path in states:
            try:
                self.history, self.best = self._restore(model, path)
            except ValueError as error:
                problem = problem or error
                continue
            done = len(self.history)
            if problem:
                print(f"{problem}: passed over, going on after epoch {done}.")
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
            "validation_loss": logs["val_cross_entropy"],
            "validation_accuracy": logs["val_accuracy"],
            "learning_rate": float(self.model.optimizer.learning_rate),
            "seconds": time.perf_counter() - self.began,
        }
        arrays = {
            f"{index:04d}": np.asarray(variable)
            for index, variable in enumerate(self._variables(self.model))
        }
        try:
            schema.check(f"epoch {epoch + 1}", row, schema.HISTORY)
            for array in arrays.values():
                schema.check_finite("a variable", array)
        except ValueError as error:
            raise NotFinite(error) from error
        self.history.append({key: float(f"{value:.6g}") for key, value in row.items()})
        self.history[-1]["epoch"] = epoch + 1
        better = row["validation_accuracy"] > self.best["validation_accuracy"]
        if better:
            self.best = {key: row[key] for key in ("epoch", "validation_accuracy")}
        resume.save_state(
            self.folder, epoch + 1, arrays, {"history": self.history, "best": self.best}
        )
        if better:  # after the state, of which `restore` can make it again
            checkpoints.save(self.folder / "model.keras", self.model, self.architecture)
        storage.write_table(self.folder / "history.csv", self.history)
        self._say(self.history[-1])

    def _say(self, row):
        """Print the epoch in one line, with the time that is left."""
        recent = [past["seconds"] for past in self.history[-5:]]
        left = (self.epochs - row["epoch"]) * sum(recent) / len(recent)
        print(
            f"epoch {row['epoch']}/{self.epochs}  loss {row['loss']:.4f}  "
            f"accuracy {row['accuracy']:.4f}  validation {row['validation_accuracy']:.4f} "
            f"(best {self.best['validation_accuracy']:.4f}, epoch {self.best['epoch']})  "
            f"{row['seconds']:.0f} s  {duration(left)} left",
            flush=True,
        )

    @staticmethod
    def _variables(model):
        """Return all that changes in training: weights, dropout seeds, the optimizer's own."""
        return [*model.variables, *model.optimizer.variables]


def duration(seconds: float) -> str:
    """Return "2 h 05 min", "7 min" or "40 s"."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if seconds >= 90 else f"{seconds:.0f} s"
