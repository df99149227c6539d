"""The command line: flags that several scripts share, and errors in one line."""

import _thread
import argparse
import contextlib
import io
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from common import quiet
from common.labels import class_code
from common.runs import provenance
from common.training import recipes

VERSION = "facial-expression-suite 0.1.0"  # as in pyproject.toml
INTERRUPTED = 130  # exit status of a shell command ended by Ctrl-C


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser whose `--help` begins with a script's docstring, with `--version`."""
    options = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.add_argument("--version", action="version", version=VERSION)
    options.add_argument(
        "--verbose",
        action=_Verbose,
        help="show what TensorFlow says of itself as it starts, not only when something fails",
    )
    return options


def add_data(options: argparse.ArgumentParser) -> None:
    """Add `--data`."""
    options.add_argument(
        "--data",
        metavar="PATH|sample",
        type=some_text,
        help="FER-2013 as a file or folder in any layout, or 'sample' for synthetic ones "
        "(default: the folder data/)",
    )


def add_out(options: argparse.ArgumentParser, script: str) -> None:
    """Add `--out`, the folder that is written: `outputs/<script's name>` unless named."""
    options.add_argument(
        "--out",
        metavar="DIR",
        type=path,
        default=Path("outputs") / Path(script).stem,
        help="folder to write (default: %(default)s)",
    )


def add_seed(options: argparse.ArgumentParser) -> None:
    """Add `--seed`."""
    options.add_argument(
        "--seed",
        metavar="N",
        type=non_negative,
        default=0,
        help="random seed (default: %(default)s)",
    )


def add_model(
    options: argparse.ArgumentParser, *, many: bool = False, default: str = "pretrained/cnn"
) -> None:
    """Add `--model`: one run, or several where `many`; the default is named from the project."""
    if many:
        options.add_argument(
            "--model",
            metavar="RUN",
            type=Path,
            nargs="+",
            action=Runs,
            default=[of_project(default)],
            help=f"run folders, or folders of such, averaged (default: {default})",
        )
    else:
        options.add_argument(
            "--model",
            metavar="RUN",
            type=Path,
            default=of_project(default),
            help=f"run folder (default: {default})",
        )


def of_project(name: str) -> Path:
    """Return a path in the project, as short as it can be named from where one stands.

    Args:
        name: below the project folder, for example "pretrained/cnn".
    """
    with contextlib.suppress(OSError, ValueError):  # no working directory; another drive
        near = os.path.relpath(provenance.PROJECT / name)
        if len(near) < len(str(provenance.PROJECT / name)):
            return Path(near)
    return provenance.PROJECT / name


def add_rows(options: argparse._ActionsContainer, *, default: str) -> None:
    """Add `--rows`, which labelled images of the data are meant."""
    options.add_argument(
        "--rows",
        choices=("test", "validation", "all"),
        default=default,
        help="'test' rows, 'validation' rows that the run held out, or 'all' labelled images of "
        "any data, whether the run was trained on them or not (default: %(default)s)",
    )


def add_images(options: argparse.ArgumentParser, default: list[int]) -> None:
    """Add `--images`, numbers of validation images."""
    options.add_argument(
        "--images",
        metavar="N",
        type=non_negative,
        nargs="+",
        default=default,
        help=f"numbers of validation images (default: {' '.join(map(str, default))})",
    )


def check_images(args: argparse.Namespace, count: int) -> None:
    """Raise a ValueError if `--images` names one beyond the run's `count` validation images."""
    if max(args.images) >= count:
        raise ValueError(
            f"--images: unknown image {max(args.images)}: expected 0 to {count - 1}, the "
            f"validation images of {args.model}"
        )


def add_training(options: argparse.ArgumentParser, *, epochs: int = 80) -> None:
    """Add the flags of training, with the report's values where it states them."""
    options.add_argument(
        "--epochs",
        metavar="N",
        type=positive,
        default=epochs,
        help="epochs; the learning-rate schedule scales with them (default: %(default)s)",
    )
    options.add_argument(
        "--batch-size",
        metavar="N",
        type=positive,
        default=64,
        help="batch size (default: %(default)s)",
    )
    options.add_argument(
        "--validation",
        metavar="N",
        type=non_negative,
        help="rows held out to choose the epoch (default: 3000; 15 %% of small data); 0 trains on "
        "all rows and keeps the last epoch, for a last submission: no score says how good it is",
    )
    options.add_argument(
        "--split-seed",
        metavar="N",
        type=non_negative,
        default=0,
        help="seed of the choice of those rows, independent of --seed (default: 0)",
    )
    options.add_argument(
        "--recipe",
        choices=tuple(recipes.RECIPES),
        default="sgd",
        help=_titles(recipes.RECIPES),
    )
    options.add_argument(
        "--learning-rate",
        metavar="X",
        type=positive_number,
        help="peak learning rate (default: the recipe's)",
    )
    options.add_argument(
        "--weight-decay",
        metavar="X",
        type=non_negative_number,
        help="decoupled, times the learning rate (default: the recipe's)",
    )
    options.add_argument(
        "--label-smoothing", metavar="X", type=fraction, help="0 to 1 (default: the recipe's)"
    )
    options.add_argument(
        "--augmentation",
        choices=tuple(recipes.POLICIES),
        default="report",
        help=_titles(recipes.POLICIES),
    )
    options.add_argument(
        "--mixup",
        metavar="ALPHA",
        type=positive_number,
        help="mix images and their targets in pairs, by shares from Beta(ALPHA, ALPHA), such as "
        "0.2 (mixup)",
    )
    options.add_argument(
        "--adversarial-training",
        metavar="EPS",
        type=positive_number,
        help="train on images that FGSM has perturbed by up to EPS grey levels of 255, such as 2, "
        "and measure the accuracy under PGD after each epoch; takes nearly twice as long",
    )
    options.add_argument(
        "--average-from",
        metavar="X",
        type=fraction,
        help="validate and keep the mean of the weights of the epochs after this share of all, "
        "such as 0.67; an annealed rate stays at a tenth of the highest meanwhile",
    )
    options.add_argument(
        "--class-weight",
        choices=tuple(recipes.CLASS_WEIGHTS),
        default="none",
        help="weight of rare classes in the loss: by the root of 1/frequency, or by 1/frequency "
        "(default: %(default)s)",
    )
    options.add_argument(
        "--batch-statistics",
        type=lambda name: "precise" if name == "plain" else name,  # as it was called before
        choices=("precise", "moving"),
        default="precise",
        help="for batch normalisation in the finished network: 'precise' are those of training "
        "images as they are, 'moving' the averages kept in training, of augmented ones with "
        "dropout on (default: %(default)s)",
    )
    options.add_argument(
        "--precision",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
        default="auto",
        help="'auto': half precision where this machine is faster with it (default: %(default)s)",
    )
    options.add_argument(
        "--tensorboard", action="store_true", help="also write logs for TensorBoard"
    )
    existing = options.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, after any kind of stop"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace the run in --out by a new one"
    )


def add_folds(options: argparse.ArgumentParser) -> None:
    """Add `--folds` and `--fold`, for cross-validation; see `check_folds`."""
    options.add_argument(
        "--folds",
        metavar="K",
        type=positive,
        help="hold out one of K parts of all training rows instead of --validation, drawn with "
        "--split-seed, and keep the last epoch; confusion.py --model scores K such runs together "
        "on every row",
    )
    options.add_argument(
        "--fold", metavar="k", type=non_negative, help="which of them, from 0 to K-1"
    )


def check_folds(options: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with an error where `--folds`, `--fold` and `--validation` do not go together."""
    if (args.folds is None) != (args.fold is None):
        options.error("argument --folds: expected --fold with it, and --fold only with it")
    if args.folds and args.validation is not None:
        options.error("argument --validation: not allowed with --folds, which say what is held out")
    if args.folds and not args.fold < args.folds >= 2:
        options.error(
            f"argument --fold: expected 0 to K-1 and --folds of 2 or more, found --folds "
            f"{args.folds} --fold {args.fold}"
        )


def add_finished_runs(options: argparse.ArgumentParser) -> None:
    """Add the flags of training that builds on finished runs."""
    options.add_argument(
        "--initial-weights",
        metavar="RUN",
        type=Path,
        nargs="+",
        action=Runs,
        help="start from the weights of this run, or from the mean of several",
    )
    options.add_argument(
        "--teacher",
        metavar="RUN",
        type=Path,
        nargs="+",
        action=_Teachers,
        help="learn from the averaged probabilities of these runs beside the labels; labels are "
        "then smoothed only if --label-smoothing says so",
    )
    options.add_argument(
        "--teacher-weight",
        metavar="X",
        type=share,
        default=0.7,
        help="weight of the teachers' probabilities in each target; the label has the rest "
        "(default: %(default)s)",
    )


def add_engine(options: argparse.ArgumentParser) -> None:
    """Add `--workers` and `--cluster`, by which many runs are brought to their end."""
    where = options.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        metavar="N",
        type=positive,
        help="runs at once on this machine (default: 1, or as many as it has GPUs)",
    )
    where.add_argument(
        "--cluster", metavar="ADDRESS", help="of a Dask scheduler, whose workers run them instead"
    )


def positive(text: str) -> int:
    """Return a whole number of 1 or more, for argparse."""
    return _number(text, int, lambda value: value >= 1, "a whole number of 1 or more")


def non_negative(text: str) -> int:
    """Return a whole number of 0 or more, for argparse."""
    return _number(
        text, int, lambda value: 0 <= value < 2**31, "a whole number from 0 to 2147483647"
    )


def positive_number(text: str) -> float:
    """Return a finite number above 0, for argparse."""
    return _number(text, float, lambda value: 0 < value < float("inf"), "a number above 0")


def non_negative_number(text: str) -> float:
    """Return a finite number of 0 or more, for argparse."""
    return _number(text, float, lambda value: 0 <= value < float("inf"), "a number of 0 or more")


def fraction(text: str) -> float:
    """Return a number from 0 up to but not including 1, for argparse."""
    return _number(text, float, lambda value: 0 <= value < 1, "a number in [0, 1)")


def share(text: str) -> float:
    """Return a number from 0 to 1, for argparse."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a number in [0, 1]")


def emotion(text: str) -> int:
    """Return the code of a class by name or number, for argparse."""
    try:
        return class_code(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def column_pair(text: str) -> tuple[str, str]:
    """Return the names of two columns, for argparse."""
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or not all(names) or names[0] == names[1] or '"' in text:
        raise argparse.ArgumentTypeError(f"expected two names as in id,label, found {text!r}")
    return names[0], names[1]


def run(main: Callable[[], None]) -> None:
    """Call a script's `main`; turn bad input into one line on stderr and exit status 2."""
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    silence = quiet.Silence()
    status, said, failed = 0, "", True
    interruption = _Interruption()
    try:
        main()
        failed = False
    except KeyboardInterrupt:
        status, said, failed = INTERRUPTED, "\nstopped", False
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status, failed = 1, False
    except SystemExit:
        failed = False
        raise
    except Exception as error:
        told = _one_line(error)
        if interruption.came:  # TensorFlow makes another error of it while it traces a function
            status, said, failed = INTERRUPTED, "\nstopped", False
        elif told is None:
            raise
        else:
            status, said, failed = 2, f"{Path(sys.argv[0]).name}: {told}", False
    finally:
        interruption.over = True
        silence.end(show=failed)
    if said:
        print(said, file=sys.stderr)
    if status:
        sys.exit(status)


@contextlib.contextmanager
def signals_to(handler: Callable, *names: str) -> Iterator[None]:
    """Let a handler take signals by name; those that are ignored or not known here are left alone.

    What is ignored stays so: that is how `nohup` works.
    """
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    previous = {kind: signal.getsignal(kind) for kind in known}
    try:
        for kind in known:
            if previous[kind] != signal.SIG_IGN:
                signal.signal(kind, handler)
        yield
    finally:
        for kind in known:
            signal.signal(kind, previous[kind])


@contextlib.contextmanager
def soft_stop() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed or an end asked for meanwhile.

    SIGTERM and SIGHUP count like Ctrl-C. The second time it is a KeyboardInterrupt at once.
    """
    asked: list[int] = []

    def note(signum, frame):
        if asked:
            raise KeyboardInterrupt
        asked.append(signum)

    with signals_to(note, "SIGINT", "SIGTERM", "SIGHUP"):
        yield lambda: bool(asked)


class _Interruption:
    """Turns Ctrl-C into a KeyboardInterrupt and remembers it.

    One right after it is passed over, and so is one when the script is `over`.
    """

    def __init__(self):
        """Listen, unless the signal is ignored, as in a background job of a shell."""
        self.last, self.over = -math.inf, False
        with contextlib.suppress(ValueError):  # only the main thread may listen
            if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
                signal.signal(signal.SIGINT, self._interrupt)
                sys.unraisablehook = self._interrupt_again

    @property
    def came(self):
        """Whether there was one."""
        return self.last > -math.inf

    def _interrupt(self, *_):
        """Interrupt the script, but not what it says to the last interruption."""
        if self.over:  # nothing is left that could be interrupted
            return
        before, self.last = self.last, time.monotonic()
        if self.last - before > 2:
            raise KeyboardInterrupt

    def _interrupt_again(self, unraisable):
        """Interrupt once more if Python has dropped it, as it does whatever a finalizer raises.

        After an interruption finalizers also complain of what was left half done: nobody is told.
        """
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self.last = -math.inf
            again = threading.Timer(0.1, _thread.interrupt_main)
            again.daemon = True
            again.start()
        elif not self.came:
            sys.__unraisablehook__(unraisable)


def _one_line(error):
    """Return what is to be said of an error that a user can do something about, or None."""
    text = str(error)
    names = {kind.__name__ for kind in type(error).__mro__}  # TensorFlow's are not imported here
    if (
        names & {"ResourceExhaustedError", "MemoryError"}
        or "RESOURCE_EXHAUSTED" in text
        or "CUDA_ERROR_OUT_OF_MEMORY" in text
    ):
        return (
            "out of memory: lower --batch-size where the script has it, end other programs that "
            "use the GPU, or compute without it (CUDA_VISIBLE_DEVICES=-1)"
        )
    return text if isinstance(error, ValueError | OSError) else None


class _Verbose(argparse.Action):
    """Shows all that TensorFlow says; keeps nothing, so that no run is recorded to depend on it."""

    def __init__(self, option_strings, dest, **options):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)
        self.default = argparse.SUPPRESS

    def __call__(self, parser, namespace, values, option_string=None):
        quiet.off()


class Runs(argparse.Action):
    """Keeps run folders; a folder that holds runs stands for all of them, by name."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Keep them."""
        runs = [
            run
            for path in values
            for run in ([path] if (path / "config.json").exists() else runs_in(path) or [path])
        ]
        setattr(namespace, self.dest, runs)


class _Teachers(Runs):
    """Keeps run folders to learn from: their answers are smooth already."""

    def __call__(self, parser, namespace, values, option_string=None):
        super().__call__(parser, namespace, values, option_string)
        if namespace.label_smoothing is None:
            namespace.label_smoothing = 0.0


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders in a folder, by name."""
    return sorted(config.parent for config in folder.glob("*/config.json"))


def _titles(registry):
    """Return the help text of a choice among entries with a title."""
    said = "; ".join(f"'{name}': {entry.title}" for name, entry in registry.items())
    return f"{said} (default: %(default)s)"


def some_text(text: str) -> str:
    """Return a flag's text, which an unset variable of a shell would leave empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a name, found an empty text")
    return text


def path(text: str) -> Path:
    """Return a flag's path; see `some_text`."""
    return Path(some_text(text))


def _number(text, kind, valid, expected):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not valid(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}")
    return value
