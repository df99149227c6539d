"""Change faces a little so that a trained model misreads them, and measure how little is enough.

    python adversarial.py
    python adversarial.py --model outputs/cnn --images 7 8 --norm l2 --transfer outputs/dnn

Reads:  a run folder and the data it was trained on.
Writes: examples.png and examples.csv (each face, the magnified change and the attacked face, as
        read by the model), targets.png (any emotion into any other), robustness.png,
        robustness.csv and smallest.csv (accuracy against the size of the change, overall and by
        emotion; the smallest change that is enough), transfer.png and transfer.csv with --transfer
        (how other models read the attacked faces), observations.txt, and an .npz beside each
        figure with everything that was drawn.
Takes:  about a minute for the CNN on 2 cores.

Sizes are in grey levels of 255. With --norm linf no pixel changes by more than that, with --norm l2
no face changes by more than that in its root mean square, so the same numbers serve both.
Expect that one or two grey levels, which no eye can see, are enough for most faces, while random
noise of the same size changes next to nothing.
"""

import itertools
from pathlib import Path

from common import cli
from common.labels import CLASS_NAMES, IMAGE_SIZE, NUM_CLASSES
from common.runs import provenance, storage

ATTACKS = ("fgsm", "pgd", "deepfool")
FIGURES = ("examples", "targets", "robustness")
CURVE = (0, 1, 2, 3, 4, 6, 8, 12, 16)
QUARTILES = ("lower_quartile_255", "median_255", "upper_quartile_255")
CHUNK = 50  # faces between two ticks of a progress bar


def build_parser():
    """Return the flags of this script."""
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
        choices=ATTACKS,
        nargs="+",
        help="fgsm (one step), pgd (many steps) or deepfool (the smallest change it finds) "
        "(default: all; with --targeted without deepfool)",
    )
    options.add_argument(
        "--norm",
        choices=("linf", "l2"),
        default="linf",
        help="size of a change: of its largest pixel or of all together (default: %(default)s)",
    )
    options.add_argument(
        "--eps",
        metavar="K",
        type=cli.non_negative_number,
        default=4.0,
        help="size of the changes in all but robustness.png, grey levels of 255 (default: 4)",
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
        help="gradient steps of PGD (default: %(default)s)",
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
        choices=("cross-entropy", "margin"),
        default="cross-entropy",
        help="what FGSM and PGD raise; margin keeps a gradient where a model is all too sure "
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


def main(argv=None):
    """Attack the images, try every pair of emotions, measure many faces, ask other models."""
    args = build_parser().parse_args(argv)
    if args.targeted is not None and "deepfool" in (args.attack or ()):
        raise ValueError(
            "--targeted: expected fgsm or pgd, found deepfool, which goes to no target"
        )
    if max(args.eps, *args.curve) > 255:
        raise ValueError(
            f"expected sizes of 0 to 255 grey levels, found {max(args.eps, *args.curve):g}"
        )
    args.attack = tuple(dict.fromkeys(args.attack or ATTACKS[: 3 if args.targeted is None else 2]))
    args.curve = sorted(set(args.curve))
    args.unit = (IMAGE_SIZE if args.norm == "l2" else 1) / 255  # a grey level in this norm
    args.size = f"{args.eps:g}/255" + (" root mean square" if args.norm == "l2" else "")
    args.aim = "accuracy" if args.targeted is None else f"read as {CLASS_NAMES[args.targeted]}"
    args.source = f"{args.model}: {provenance.command_line(argv)}"
    import numpy as np

    from common import robustness
    from common.data import pixels, splits
    from common.models import checkpoints, prediction

    storage.check_writable(args.out)
    network = prediction.logits_model(checkpoints.load(args.model)[0])
    faces, split = splits.load_of_run(args.model, args.data)
    images = pixels.to_inputs(faces.train_images[split.validation_rows])
    labels = faces.train_labels[split.validation_rows].astype(np.int64)
    cli.check_images(args, len(images))
    already = [number for number in args.images if labels[number] == args.targeted]
    if already and "examples" in args.figures:
        fitting = " ".join(map(str, np.flatnonzero(labels != args.targeted)[:5]))
        raise ValueError(
            f"--targeted: expected images of another emotion, found image {already[0]}, which is "
            f"{CLASS_NAMES[args.targeted]} already: choose others, such as --images {fitting}"
        )
    others = {}
    for run in args.transfer:
        held = splits.load(run / "split.npz")
        splits.check(held, faces)
        others[run] = prediction.logits_model(checkpoints.load(run)[0]), held
    eligible = np.flatnonzero(labels != args.targeted)
    chosen, weights = robustness.even_sample(labels[eligible], args.faces)
    chosen = eligible[chosen]
    args.options = {
        "norm": args.norm,
        "loss": args.loss,
        "steps": args.steps,
        "restarts": args.restarts,
    }

    lines, written = [], ["observations.txt"]
    if "examples" in args.figures:
        lines += _show_examples(args, network, images[args.images], labels[args.images])
        written += ["examples.png", "examples.npz", "examples.csv"]
    if "targets" in args.figures:
        lines += _show_targets(args, network, images, labels)
        written += ["targets.png", "targets.npz", "targets.csv"]
    if "robustness" in args.figures:
        lines += _measure_robustness(args, network, images[chosen], labels[chosen], weights, chosen)
        written += ["robustness.png", "robustness.npz", "robustness.csv", "smallest.csv"]
    if others:
        rows = split.validation_rows[chosen]
        lines += [
            f"{run} was trained on {seen} of these faces, which flatters it."
            for run, (_, held) in others.items()
            if (seen := np.isin(rows, held.train_rows).sum())
        ]
        readers = {args.model: network} | {run: reader for run, (reader, _) in others.items()}
        lines += _ask_others(args, readers, images[chosen], labels[chosen], weights, chosen)
        written += ["transfer.png", "transfer.npz", "transfer.csv"]
    storage.write_text(args.out / "observations.txt", "\n".join(lines) + "\n")
    print("\n".join(lines))
    print(f"Wrote {', '.join(written)} to {args.out}.")
    print(f"See which pixels the model decides by: python saliency.py --model {args.model}")


def _show_examples(args, network, images, labels):
    """Draw and write the attacked images; return sentences."""
    import numpy as np
    from scipy.special import softmax

    from common import attacks
    from common.figures import attacks as figures
    from common.figures import style

    targeted = args.targeted is not None
    aims = np.full_like(labels, args.targeted) if targeted else labels
    flags = attacks.vanished(attacks.steepest(network, images, aims, loss=args.loss))
    probabilities = softmax(attacks.predict_logits(network, images), axis=1)
    generator = np.random.default_rng(args.seed)
    attacked, readings, rounded, sizes, table, lines = {}, {}, {}, {}, [], []
    for name in args.attack:
        attacked[name] = attacks.by_name(
            name,
            network,
            images,
            aims,
            eps=args.eps * args.unit,
            targeted=targeted,
            generator=generator,
            **args.options,
        )
        saved = attacks.round_to_8_bits(attacked[name])
        readings[name], rounded[name] = (
            softmax(attacks.predict_logits(network, these), axis=1)
            for these in (attacked[name], saved)
        )
        largest, length = (
            attacks.change_size(attacked[name], images, norm=norm) * 255 for norm in attacks.NORMS
        )
        root_mean_square = length / IMAGE_SIZE
        sizes[name] = largest if args.norm == "linf" else root_mean_square
        for place, number in enumerate(args.images):
            before, after, kept = (
                array[place] for array in (probabilities, readings[name], rounded[name])
            )
            table.append(
                {
                    "image": number,
                    "true": CLASS_NAMES[labels[place]],
                    "attack": name,
                    "read_as": CLASS_NAMES[before.argmax()],
                    "confidence": f"{before.max():.4f}",
                    "attacked_read_as": CLASS_NAMES[after.argmax()],
                    "attacked_confidence": f"{after.max():.4f}",
                    "in_8_bits_read_as": CLASS_NAMES[kept.argmax()],
                    "in_8_bits_confidence": f"{kept.max():.4f}",
                    "largest_change_255": f"{largest[place]:.3f}",
                    "root_mean_square_255": f"{root_mean_square[place]:.3f}",
                }
            )
        won, won_rounded = (
            attacks.succeeded(array.argmax(1), aims, targeted=targeted).sum()
            for array in (readings[name], rounded[name])
        )
        lines.append(
            f"{figures.NAMES[name]}: {won} of {len(images)} images "
            f"{'read as the target' if targeted else 'misread'}, {won_rounded} once rounded to 8 "
            f"bits; sizes {', '.join(f'{size:.2g}' for size in sizes[name])} of 255."
        )
    lines.append(attacks.describe_vanished(flags, loss=args.loss))
    storage.write_table(args.out / "examples.csv", table)
    storage.write_arrays(
        args.out / "examples.npz",
        numbers=args.images,
        labels=labels,
        images=images[..., 0],
        probabilities=probabilities,
        **{f"attacked_{name}": array[..., 0] for name, array in attacked.items()},
        **{f"probabilities_{name}": array for name, array in readings.items()},
        **{f"probabilities_in_8_bits_{name}": array for name, array in rounded.items()},
    )
    figure = figures.examples(
        args.images,
        labels,
        images[..., 0],
        probabilities,
        {name: array[..., 0] for name, array in attacked.items()},
        readings,
        sizes,
        title=f"What {args.model} reads after changes of {args.size}"
        + (f", to be {args.aim}" if targeted else "")
        + (" (DeepFool: as large as it needs)" if "deepfool" in args.attack else ""),
    )
    style.save(figure, args.out / "examples.png", source=args.source)
    return lines


def _show_targets(args, network, images, labels):
    """Draw and write a face of each emotion made to be read as each other; return sentences."""
    import numpy as np
    from scipy.special import softmax
    from tqdm import tqdm

    from common import attacks, robustness
    from common.figures import attacks as figures
    from common.figures import style

    candidates, _ = robustness.even_sample(labels, args.faces)
    right = ~attacks.fooled(network, images[candidates], labels[candidates])
    numbers = [  # the first face of each emotion that is read right, or else the first
        rows[right[labels[candidates] == code].argmax()]
        for code in range(NUM_CLASSES)
        if len(rows := candidates[labels[candidates] == code])
    ]
    attacked = np.repeat(images[numbers][:, np.newaxis], NUM_CLASSES, axis=1)
    everything = np.arange(NUM_CLASSES)
    generator = np.random.default_rng(args.seed)
    for row, number in enumerate(
        tqdm(numbers, desc="targets", unit=" faces", delay=2, disable=None)
    ):
        wanted = everything[everything != labels[number]]
        attacked[row, wanted] = attacks.pgd(
            network,
            attacked[row, wanted],
            wanted,
            eps=args.eps * args.unit,
            targeted=True,
            generator=generator,
            **args.options,
        )
    flat = attacked.reshape(-1, *images.shape[1:])
    readings, rounded = (
        softmax(attacks.predict_logits(network, these), axis=1).reshape(len(numbers), 7, 7)
        for these in (flat, attacks.round_to_8_bits(flat))
    )
    pairs = [
        (row, code)
        for row in range(len(numbers))
        for code in everything
        if code != labels[numbers[row]]
    ]
    table = [
        {
            "image": numbers[row],
            "true": CLASS_NAMES[labels[numbers[row]]],
            "target": CLASS_NAMES[code],
            "read_as": CLASS_NAMES[readings[row, code].argmax()],
            "confidence": f"{readings[row, code].max():.4f}",
            "in_8_bits_read_as": CLASS_NAMES[rounded[row, code].argmax()],
            "in_8_bits_confidence": f"{rounded[row, code].max():.4f}",
        }
        for row, code in pairs
    ]
    missed = [
        f"{line['true']} as {line['target']}" for line in table if line["read_as"] != line["target"]
    ]
    kept = sum(line["in_8_bits_read_as"] == line["target"] for line in table)
    surest = np.median([readings[row, code, code] for row, code in pairs])
    storage.write_table(args.out / "targets.csv", table)
    storage.write_arrays(
        args.out / "targets.npz",
        numbers=numbers,
        labels=labels[numbers],
        originals=images[numbers][..., 0],
        images=attacked[..., 0],
        probabilities=readings,
        probabilities_in_8_bits=rounded,
    )
    figure = figures.targets(
        attacked[..., 0],
        images[numbers][..., 0],
        readings,
        labels[numbers],
        title=f"Any emotion (row) into any other (column) for {args.model}: PGD, "
        f"changes of {args.size}",
    )
    style.save(figure, args.out / "targets.png", source=args.source)
    return [
        f"Any emotion into any other within {args.size}: {len(pairs) - len(missed)} of "
        f"{len(pairs)} pairs reached ({kept} once rounded to 8 bits), the target's median "
        f"confidence is {surest:.2f}; missed: {', '.join(missed) or 'none'}."
    ]


def _measure_robustness(args, network, images, labels, weights, numbers):
    """Draw and write accuracy against the size of the change; return sentences."""
    import numpy as np
    from tqdm import tqdm

    from common import attacks, robustness
    from common.figures import attacks as figures
    from common.figures import style

    targeted = args.targeted is not None
    aims = np.full_like(labels, args.targeted) if targeted else labels
    with tqdm(total=len(images), desc="robustness", unit=" faces", delay=2, disable=None) as bar:
        found = robustness.measure(
            network,
            images,
            aims,
            eps=np.array(args.curve) * args.unit,
            kinds=args.attack,
            targeted=targeted,
            progress=bar.update,
            generator=np.random.default_rng(args.seed),
            **args.options,
        )
    curves, table = {}, []
    for name, in_8_bits in itertools.product(found.predictions, ("no", "yes")):
        predictions = (found.rounded if in_8_bits == "yes" else found.predictions)[name]
        curves[name, in_8_bits] = robustness.weighted_shares(predictions == aims, labels, weights)
        for size, share, error, emotions in zip(args.curve, *curves[name, in_8_bits], strict=True):
            row = {"attack": name, "in_8_bits": in_8_bits, "size_255": f"{size:g}"}
            row |= {"all": f"{share:.4f}", "standard_error": f"{error:.4f}"}
            table.append(row | dict(zip(CLASS_NAMES, (f"{x:.4f}" for x in emotions), strict=True)))
    storage.write_table(args.out / "robustness.csv", table)
    quartiles = {
        name: robustness.size_quartiles(sizes, labels, weights) / args.unit
        for name, sizes in found.smallest.items()
    }
    storage.write_table(
        args.out / "smallest.csv",
        [
            {"attack": name, "emotion": emotion}
            | dict(zip(QUARTILES, (f"{x:.3f}" for x in three), strict=True))
            for name, quartile in quartiles.items()
            for emotion, three in zip(("all", *CLASS_NAMES), quartile, strict=True)
        ],
    )
    storage.write_arrays(
        args.out / "robustness.npz",
        sizes=args.curve,
        numbers=numbers,
        labels=labels,
        weights=weights,
        vanished=found.vanished,
        **{f"predictions_{name}": array for name, array in found.predictions.items()},
        **{f"predictions_in_8_bits_{name}": array for name, array in found.rounded.items()},
        **{f"smallest_{name}": array / args.unit for name, array in found.smallest.items()},
    )
    strongest = "pgd" if "pgd" in found.predictions else next(iter(found.predictions))
    figure = figures.robustness(
        args.curve,
        {name: curves[name, "no"] for name in found.predictions},
        {name: curves[name, "yes"][0] for name in found.predictions},
        {name: quartile[1:] for name, quartile in quartiles.items()},
        strongest=strongest,
        aim=args.aim,
        unit="255, " + ("largest pixel" if args.norm == "linf" else "root mean square"),
        title=f"How {args.model} bears changes, {len(labels)} validation faces",
    )
    style.save(figure, args.out / "robustness.png", source=args.source)

    lines = [
        f"{args.aim.capitalize()} on {len(labels)} validation faces, each emotion weighted by its "
        "share:"
    ]
    for place, size in enumerate(args.curve):
        under = (
            f"{figures.NAMES[name]} {curves[name, 'no'][0][place]:.2f} "
            f"({curves[name, 'yes'][0][place]:.2f} in 8 bits)"
            for name in found.predictions
        )
        lines.append(f"  {size:g}/255: {', '.join(under)}.")
    lines.append(
        "Median smallest change that succeeds, where it is needed: "
        + ", ".join(
            f"{figures.NAMES[name]} "
            + (f"{middle:.2f}/255" if np.isfinite(middle) else f"above {args.curve[-1]:g}/255")
            for name, ((_, middle, _), *_) in quartiles.items()
        )
        + "."
    )
    order = sorted(range(NUM_CLASSES), key=lambda code: quartiles[strongest][1 + code, 1])
    order = [code for code in order if np.isfinite(quartiles[strongest][1 + code, 1])]
    if len(order) > 1:
        first, last = (
            f"{CLASS_NAMES[code]} (median {quartiles[strongest][1 + code, 1]:.2f}/255)"
            for code in (order[0], order[-1])
        )
        lines.append(
            f"{figures.NAMES[strongest]} has the least to do for {first}, the most for {last}."
        )
    lines.append(attacks.describe_vanished(found.vanished, loss=args.loss))
    return lines


def _ask_others(args, readers, images, labels, weights, numbers):
    """Draw and write how other models read the attacked faces; return sentences."""
    import numpy as np
    from tqdm import tqdm

    from common import attacks, robustness
    from common.figures import attacks as figures
    from common.figures import style

    targeted = args.targeted is not None
    aims = np.full_like(labels, args.targeted) if targeted else labels
    kinds = ["clean", "noise", *(name for name in args.attack if name != "deepfool")]
    predictions = {kind: np.empty((len(readers), len(images)), np.int64) for kind in kinds}
    source = next(iter(readers.values()))
    generator = np.random.default_rng(args.seed)
    for start in tqdm(
        range(0, len(images), CHUNK), desc="transfer", unit=" chunks", delay=2, disable=None
    ):
        part = slice(start, start + CHUNK)
        for kind in kinds:
            attacked = images[part]
            if kind != "clean":
                attacked = attacks.by_name(
                    kind,
                    source,
                    images[part],
                    aims[part],
                    eps=args.eps * args.unit,
                    targeted=targeted,
                    generator=generator,
                    **args.options,
                )
            for place, reader in enumerate(readers.values()):
                logits = attacks.predict_logits(reader, attacked)
                predictions[kind][place, part] = logits.argmax(1)
    shares = {
        kind: robustness.weighted_shares(array == aims, labels, weights)[0]
        for kind, array in predictions.items()
    }
    names = [str(run) for run in readers]
    storage.write_table(
        args.out / "transfer.csv",
        [
            {"model": name, **{kind: f"{share[place]:.4f}" for kind, share in shares.items()}}
            for place, name in enumerate(names)
        ],
    )
    storage.write_arrays(
        args.out / "transfer.npz",
        models=np.array(names),
        numbers=numbers,
        labels=labels,
        weights=weights,
        **{f"predictions_{kind}": array for kind, array in predictions.items()},
    )
    figure = figures.transfer(
        names,
        shares,
        aim=args.aim,
        title=f"{len(images)} faces made to fool {names[0]} with changes of {args.size}",
    )
    style.save(figure, args.out / "transfer.png", source=args.source)
    return [
        f"{name} on faces made to fool {names[0]} with {args.size}, {args.aim}: "
        + ", ".join(
            f"{figures.NAMES.get(kind, 'unchanged')} {share[place]:.2f}"
            for kind, share in shares.items()
        )
        + "."
        for place, name in enumerate(names)
    ]


if __name__ == "__main__":
    cli.run(main)
