"""Perturb faces a little so that a trained model misreads them, and measure how little is enough.

    python adversarial.py
    python adversarial.py --model outputs/train_cnn --images 7 8 --norm l2 --transfer pretrained/dnn

Reads:  a run folder and the data it was trained on.
Writes: examples.png and examples.csv (each face, the magnified perturbation and the attacked face,
        as read by the model), targets.png and targets.csv (any emotion into any other),
        robustness.png, robustness.csv and smallest.csv (accuracy against the size of the
        perturbation, overall and by emotion; the smallest that is enough), transfer.png and
        transfer.csv with --transfer (how other models read the attacked faces), observations.txt,
        manifest.json, and an .npz beside each figure with everything that was drawn.
Takes:  about a minute for the CNN on 2 cores.

Sizes are in grey levels of 255. With --norm linf no pixel changes by more than that, with --norm l2
no face changes by more than that in its root mean square, so the same numbers serve both.
Expect that one or two grey levels, which no eye can see, are enough for most faces, while random
noise of the same size changes next to nothing.
"""

import sys
from pathlib import Path

from common import cli
from common.attacks import registry
from common.attacks.setting import Sample, Setting, grey_level
from common.labels import CLASS_NAMES
from common.outputs import Output
from common.runs import provenance

FIGURES = ("examples", "targets", "robustness")
CURVE = (0, 1, 2, 3, 4, 6, 8, 12, 16)
LARGEST = 255  # grey levels


def build_parser():
    """Return the flags of this script."""
    attacks = {
        name: attack for name, attack in registry.ATTACKS.items() if name != registry.CONTROL
    }
    options = cli.parser(__doc__)
    cli.add_model(options)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    cli.add_images(options, [0, 1, 2, 3, 4])
    options.add_argument(
        "--figures",
        metavar="NAME",
        choices=FIGURES,
        nargs="+",
        default=FIGURES,
        help=f"of {' '.join(FIGURES)} (default: all)",
    )
    options.add_argument(
        "--attack",
        metavar="NAME",
        choices=list(attacks),
        nargs="+",
        help=f"{', '.join(f'{name} ({attack.summary})' for name, attack in attacks.items())} "
        f"(default: {' '.join(registry.DEFAULT)}, as far as they can go to a target if --targeted)",
    )
    options.add_argument(
        "--norm",
        choices=registry.NORMS,
        default="linf",
        help="size of a perturbation: of its largest pixel, or of all (default: %(default)s)",
    )
    options.add_argument(
        "--eps",
        metavar="K",
        type=cli.non_negative_number,
        default=4.0,
        help="size of the perturbations in all but robustness.png, grey levels of 255 (default: 4)",
    )
    options.add_argument(
        "--curve",
        metavar="K",
        type=cli.non_negative_number,
        nargs="+",
        default=CURVE,
        help=f"sizes in robustness.png, grey levels (default: {' '.join(map(str, CURVE))})",
    )
    options.add_argument(
        "--steps",
        metavar="N",
        type=cli.positive,
        default=10,
        help="gradient steps of attacks that take many (default: %(default)s)",
    )
    options.add_argument(
        "--restarts",
        metavar="N",
        type=cli.positive,
        default=1,
        help="random starts of PGD, of which the best counts (default: %(default)s)",
    )
    options.add_argument(
        "--loss",
        choices=registry.LOSSES,
        default="cross-entropy",
        help="what sized attacks raise; margin keeps a gradient where a model is all too sure "
        "(default: %(default)s)",
    )
    options.add_argument(
        "--targeted",
        metavar="CLASS",
        type=cli.emotion,
        help="make the faces read as this emotion, rather than as anything wrong",
    )
    options.add_argument(
        "--faces",
        metavar="N",
        type=cli.positive,
        default=140,
        help="validation faces for robustness.png and transfer.png, evenly over the emotions "
        "(default: %(default)s)",
    )
    options.add_argument(
        "--transfer",
        metavar="RUN",
        type=Path,
        nargs="+",
        default=[],
        help="runs that are shown the faces made to fool --model",
    )
    return options


def read_setting(args):
    """Return (the `Setting` that the flags describe, names of the attacks).

    Raises:
        ValueError: flags contradict each other.
    """
    targeted = args.targeted is not None
    usual = [name for name in registry.DEFAULT if registry.ATTACKS[name].targeted or not targeted]
    names = tuple(dict.fromkeys(args.attack or usual))
    registry.check(names, targeted=targeted)
    largest = max(args.eps, *args.curve)
    if largest > LARGEST:
        raise ValueError(f"expected sizes of 0 to {LARGEST} grey levels, found {largest:g}")
    budget = registry.Budget(
        eps=args.eps * grey_level(args.norm),
        norm=args.norm,
        loss=args.loss,
        steps=args.steps,
        restarts=args.restarts,
        targeted=targeted,
    )
    if 0 < largest < 1:
        print(
            f"{largest:g} is in grey levels of 255, far below what one can see: for that fraction "
            f"of the range of pixels pass {largest * 255:g}",
            file=sys.stderr,
        )
    return Setting(str(args.model), budget, args.targeted, args.seed), names


def check_targets(args, labels):
    """Raise a ValueError if an image that `--images` names is of the target's class already."""
    already = [number for number in args.images if labels[number] == args.targeted]
    if already and "examples" in args.figures:
        fitting = [str(number) for number, label in enumerate(labels) if label != args.targeted]
        raise ValueError(
            f"--targeted: expected images of another emotion, found image {already[0]}, which is "
            f"{CLASS_NAMES[args.targeted]} already: choose others, such as --images "
            f"{' '.join(fitting[:5])}"
        )


def main(argv=None):
    """Attack the images, try every pair of emotions, measure many faces, ask other models."""
    args = build_parser().parse_args(argv)
    setting, names = read_setting(args)
    import numpy as np

    from common.attacks import outcomes, robustness
    from common.data import agreement, pixels, splits
    from common.figures.adversarial import examples, smallest, targets, transfer
    from common.figures.adversarial import robustness as curves
    from common.models import checkpoints, prediction

    network = prediction.logits_model(checkpoints.load(args.model)[0])
    faces, split = splits.load_of_run(args.model, args.data)
    images = pixels.to_inputs(faces.train_images[split.validation_rows])
    labels = faces.train_labels[split.validation_rows].astype(np.int64)
    cli.check_images(args, len(images))
    check_targets(args, labels)
    sample = Sample.even(labels, args.faces, without=args.targeted)
    drawn, sampled = split.validation_rows[sample.numbers], images[sample.numbers]
    seen = {str(run): int(agreement.seen_by(run, faces)[drawn].sum()) for run in args.transfer}
    others = {str(run): prediction.logits_model(checkpoints.load(run)[0]) for run in args.transfer}
    output = Output(args.out, argv=argv, models=[args.model, *args.transfer])

    if "examples" in args.figures:
        attacked = outcomes.examples(network, setting, images, labels, args.images, names)
        output.show("examples", examples, attacked)

    if "targets" in args.figures:
        candidates = Sample.even(labels, args.faces).numbers
        moved = outcomes.targets(network, setting, images, labels, candidates)
        output.show("targets", targets, moved)

    if "robustness" in args.figures:
        sizes = np.array(sorted(set(args.curve)))
        budget = setting.fresh_budget(eps=sizes * setting.unit)
        measured = robustness.measure(network, sampled, setting.aims(sample.labels), budget, names)
        result = robustness.Robustness(setting, sample, sizes, measured)
        output.show("robustness", curves, result)
        output.show("smallest", smallest, result)

    if others:
        readers = {str(args.model): network} | others
        answers = outcomes.transfer(readers, setting, sampled, sample, names, seen)
        output.show("transfer", transfer, answers)

    following = provenance.continued("saliency.py", [args.model], args.data)
    output.finish(f"See which pixels the model decides by: {following}")


if __name__ == "__main__":
    cli.run(main)
