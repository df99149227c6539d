"""Show which pixels of a face a trained model decides by, and how far the maps can be believed.

    python saliency.py
    python saliency.py --model outputs/cnn --images 7 8 9 --method all --target happy

Reads:  a run folder and the data it was trained on.
Writes: saliency.png (the faces; for each method a heat-map and the face without the unimportant
        parts; further pages saliency_2.png, ... for more than 8 images), faithfulness.png and
        faithfulness.csv (do the pixels matter, does the map depend on the weights),
        mean_map.png and regions.csv (where the model looks for each emotion), observations.txt,
        saliency.npz (everything that was drawn).
        The numbers above a heat-map are its areas under deletion and insertion, in brackets those
        of masking in random order: the first should be lower than its bracket, the second higher.
Takes:  about a minute for the CNN on 2 cores; --method all about three.

The plain gradient is what the report used. SmoothGrad is shown beside it because
"""

from functools import partial

from common import cli, runs
from common.labels import CLASS_NAMES, NUM_CLASSES

METHODS = (
    "gradient",
    "gradient_times_input",
    "smooth_gradient",
    "integrated_gradients",
    "guided_backpropagation",
    "grad_cam",
    "occlusion",
)
PAGE = 8  # faces a page


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_model(options)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    cli.add_images(options, [0, 1, 2, 3, 4])
    options.add_argument(
        "--method",
        metavar="NAME",
        choices=(*METHODS, "all"),
        nargs="+",
        default=["gradient", "smooth_gradient"],
        help=f"{', '.join(METHODS)}, or all (default: gradient smooth_gradient)",
    )
    options.add_argument(
        "--target",
        metavar="CLASS",
        type=lambda text: text if text in ("true", "predicted") else cli.emotion(text),
        default="predicted",
        help="class to explain: predicted, true, or one by name or number (default: predicted)",
    )
    options.add_argument(
        "--samples",
        metavar="N",
        type=cli.positive,
        default=50,
        help="noisy copies of an image for SmoothGrad (default: %(default)s)",
    )
    options.add_argument(
        "--layer", metavar="NAME", help="convolution for Grad-CAM (default: the last one)"
    )
    options.add_argument(
        "--keep",
        metavar="SHARE",
        type=cli.fraction,
        default=0.3,
        help="of the pixels that the masked faces keep, 0 to 1 (default: %(default)s)",
    )
    options.add_argument(
        "--no-check", action="store_true", help="leave out the check of faithfulness"
    )
    options.add_argument(
        "--mean-map",
        metavar="NAME",
        choices=(*METHODS, "none"),
        default="gradient",
        help="method of the mean map of each emotion, or none (default: %(default)s)",
    )
    options.add_argument(
        "--faces-per-class",
        metavar="N",
        type=cli.positive,
        default=100,
        help="validation faces of each emotion for the mean map (default: %(default)s)",
    )
    return options


def main(argv=None):
    """Explain the images, check the explanations, average maps over many faces."""
    args = build_parser().parse_args(argv)
    names = list(METHODS) if "all" in args.method else list(dict.fromkeys(args.method))
    if args.layer and "grad_cam" not in (*names, args.mean_map):
        raise ValueError("--layer is the convolution of Grad-CAM: expected --method grad_cam too")
    if not args.keep:
        raise ValueError("--keep: expected a share above 0, found 0: nothing would be left to see")
    import numpy as np
    from tqdm import tqdm

    from common import attribution, data, models
    from common.figures import attribution as figures
    from common.figures import style

    runs.check_writable(args.out)
    model = models.load(args.model)[0]
    logits = models.logits_model(model)
    lines = []
    if "all" in args.method and not attribution.convolutions(logits):
        names.remove("grad_cam")
        lines.append(f"Grad-CAM is left out: {args.model} has no convolutions.")
    if "grad_cam" in (*names, args.mean_map):
        attribution.convolution(logits, args.layer)
    faces, split = data.load_of_run(args.model, args.data)
    images = faces.train_images[split.validation_rows]
    labels = faces.train_labels[split.validation_rows]
    if max(args.images) >= len(images):
        raise ValueError(
            f"--images: unknown image {max(args.images)}: expected 0 to {len(images) - 1}, the "
            f"validation images of {args.model}"
        )
    if args.mean_map != "none" and len(set(labels)) < NUM_CLASSES:
        absent = ", ".join(set(CLASS_NAMES) - {CLASS_NAMES[code] for code in labels})
        raise ValueError(
            f"the mean map needs validation faces of every emotion, found none of {absent}: go "
            "without (--mean-map none)"
        )
    args.source = f"{args.model}: {runs.command_line(argv)}"
    args.options = {
        "smooth_gradient": {"samples": args.samples, "seed": args.seed},
        "grad_cam": {"layer": args.layer},
    }

    # What the model says of the images, and which class to explain.
    inputs, true = data.to_inputs(images[args.images]), labels[args.images]
    probabilities = models.predict(model, images[args.images])
    predicted, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    named = {"true": true, "predicted": predicted}
    targets = named[args.target] if args.target in named else np.full_like(true, args.target)
    captions = [
        f"image {number}: {CLASS_NAMES[code]}\npredicted {CLASS_NAMES[guess]} {confidence:.2f}"
        for number, code, guess, confidence in zip(
            args.images, true, predicted, confidences, strict=True
        )
    ]
    lines += [
        f"{caption.replace(chr(10), ', ')}; the maps explain {CLASS_NAMES[target]}."
        for caption, target in zip(captions, targets, strict=True)
    ]

    # The maps, and how far to believe them.
    maps = {
        name: attribution.METHODS[name](logits, inputs, targets, **args.options.get(name, {}))
        for name in tqdm(names, desc="maps", unit=" methods", delay=2, disable=None)
    }
    importances = {name: attribution.importance(name, maps[name]) for name in names}
    masked = {
        name: attribution.mask_unimportant(inputs, importances[name], keep=args.keep)
        for name in names
    }
    notes = None
    written = ["observations.txt", "saliency.npz"]
    if not args.no_check:
        notes, sentences = _check_maps(args, logits, inputs, importances, targets)
        lines += sentences
        written += ["faithfulness.png", "faithfulness.csv", "faithfulness.npz"]
