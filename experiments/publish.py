"""Copy a finished run into a small folder, as those in pretrained/ are.

    python -m experiments.publish --model outputs/train_cnn --out pretrained/cnn

Weights are rounded to --bits binary digits, which takes a third off their file, and measured again
on the images that the run held out: what the folder says is of the weights in it. What rounding
changes is printed, of a run that held out none by its answers on test images. The states that
a resumed training needs and the submission stay behind. Say what was trained in
pretrained/README.md, and renew the list of hashes (CONTRIBUTING.md).
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from common import cli

COPIED = ("config.json", "history.csv", "split.npz")
BITS = 12  # of a weight's 24: no probability of four compact CNNs moved by more than 0.0013


def build_parser():
    """Return the flags of this command."""
    options = cli.parser(__doc__)
    cli.add_model(options)
    cli.add_data(options)
    options.add_argument("--out", metavar="DIR", type=Path, required=True, help="new folder")
    options.add_argument(
        "--bits",
        metavar="N",
        type=int,
        choices=range(1, 25),
        default=BITS,
        help="significant binary digits of a weight, 1 to 24 (default: %(default)s)",
    )
    return options


def main(argv=None):
    """Copy, round, measure."""
    args = build_parser().parse_args(argv)
    if (args.out / "config.json").exists():
        raise ValueError(f"--out {args.out}: expected a new folder, found a run: delete it first")
    from common.data import loading, splits
    from common.models import checkpoints, prediction
    from common.runs import records
    from common.training import measuring

    run, dataset = records.read(args.model), loading.load(args.data)
    if dataset.data_hash != run.data_hash:
        raise ValueError(f"--data: expected what {run.folder} was trained on, found other images")
    split = splits.load(args.model / "split.npz")
    model, _ = checkpoints.load(args.model)
    kind, images = "validation", dataset.train_images[split.validation_rows]
    if not len(images):
        kind, images = "test", dataset.test_images
    before = prediction.predict(model, images)
    model.set_weights([rounded(weights, args.bits) for weights in model.get_weights()])
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoints.save(args.out / "model.keras", model, run.config["architecture"])
    for name in COPIED:
        shutil.copyfile(args.model / name, args.out / name)
    without_tests = replace(
        dataset, test_images=dataset.test_images[:0], test_ids=dataset.test_ids[:0]
    )
    measured = measuring.measure(args.out, without_tests, split)
    after = prediction.predict(measured, images)
    print(
        f"Of {len(images):,} {kind} images {(before.argmax(1) != after.argmax(1)).sum():,} are "
        f"read differently; no probability moves by more than "
        f"{np.abs(before - after).max(initial=0):.1g}."
    )


def rounded(weights: np.ndarray, bits: int) -> np.ndarray:
    """Return float32 weights with so many significant binary digits."""
    fraction, exponent = np.frexp(weights)
    return np.ldexp(np.round(np.ldexp(fraction, bits)), exponent - bits).astype(np.float32)


if __name__ == "__main__":
    cli.run(main)
