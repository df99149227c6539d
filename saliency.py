"""Show which pixels of a face a trained model decides by, and how far the maps can be believed.

    python saliency.py
    python saliency.py --model outputs/train_cnn --images 7 8 9 --method all --target happy

Reads:  a run folder and the data it was trained on.
Writes: saliency.png (the faces; for each method the map over the face, and the face without the
        unimportant parts; further pages saliency_2.png, ... for more than 8 images),
        faithfulness.png and faithfulness.csv (do the pixels matter, does the map depend on the
        weights), covered_mouths.png and .csv (faces without and with a hand over the mouth, and
        their maps), mean_map.png and regions.csv (where the model looks for each emotion),
        observations.txt, saliency.npz (everything that was drawn).
        The numbers above a heat-map are its areas under deletion and insertion, in brackets those
        of masking in random order: the first should be lower than its bracket, the second higher.
Takes:  about a minute for the CNN on 2 cores; --method all about three.

The default, LayerCAM smoothed over 2 pixels, is the most faithful of the methods that take one
pass, by deletion and insertion over 200 validation faces (results/saliency_methods.csv). Occlusion
is more faithful and takes a hundred passes: --method occlusion --smoothing 1. The report used the
plain gradient: --method gradient --smoothing 0.
"""

from common import cli
from common.attribution import registry
from common.labels import CLASS_NAMES
from common.runs import provenance

DISPLAY_PERCENTILE = 99.5  # of a map gets the brightest colour: one pixel must not darken all


def build_parser():
    """Return the flags of this script."""
    layered = [registry.METHODS[name].title for name in registry.by_convolution()]
    options = cli.parser(__doc__)
    cli.add_model(options)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    cli.add_images(options, [0, 1, 2, 3, 4])
    options.add_argument(
        "--method",
        metavar="NAME",
        choices=(*registry.METHODS, "all"),
        nargs="+",
        help=f"{', '.join(registry.METHODS)}, or all (default: {registry.DEFAULT}; "
        f"{registry.DEFAULT_OF_ANY} for a model without convolutions)",
    )
    options.add_argument(
        "--smoothing",
        metavar="PIXELS",
        type=cli.non_negative_number,
        default=registry.SMOOTHING,
        help="deviation of the Gaussian that maps are smoothed with, 0 for none (default: "
        "%(default)s)",
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
        "--layer",
        metavar="NAME",
        help=f"convolution for {' and '.join(layered)} (default: the last one)",
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
        choices=(*registry.METHODS, "none"),
        help=f"method of the mean map of each emotion, or none (default: {registry.DEFAULT}; "
        "gradient for a model without convolutions)",
    )
    options.add_argument(
        "--faces-per-class",
        metavar="N",
        type=cli.positive,
        default=100,
        help="validation faces of each emotion for the mean map (default: %(default)s)",
    )
    options.add_argument(
        "--covered",
        metavar="N",
        type=cli.non_negative,
        default=100,
        help="validation faces, the first N, whose mouths are covered by a hand, 0 for none "
        "(default: %(default)s)",
    )
    return options


def main(argv=None):
    """Explain the images, check the explanations, average maps over many faces."""
    args = build_parser().parse_args(argv)
    layered = registry.by_convolution()
    asked = {*(args.method or [registry.DEFAULT]), args.mean_map or registry.DEFAULT}
    if args.layer and not asked & {*layered, "all"}:
        raise ValueError(f"--layer: expected --method {' or '.join(layered)} too, found neither")
    if not args.keep:
        raise ValueError("--keep: expected a share above 0, found 0: nothing would be left to see")
    from common.attribution import covering, engine, maps
    from common.figures.saliency import covered_mouths, explained_faces, faithfulness, mean_map
    from common.models import checkpoints, prediction
    from common.outputs import Output

    # The model, the methods that suit it, and images that it never saw.
    model = checkpoints.load(args.model)[0]
    logits = prediction.logits_model(model)
    convolutions = bool(engine.convolutions(logits))
    names, left_out = choose_methods(args.method, convolutions=convolutions)
    averaged_by = args.mean_map or (registry.DEFAULT if convolutions else "gradient")
    if {*names, averaged_by} & {*layered}:
        engine.convolution(logits, args.layer)
    images, labels = load_held_out(args)
    options = engine.Options(args.samples, args.seed, args.layer, args.smoothing)
    output = Output(args.out, argv=argv, models=[args.model])
    for name in left_out:
        output.say(f"{registry.METHODS[name].title} is left out: {args.model} has no convolutions.")

    # The maps of a few faces, and how far to believe them.
    probabilities = prediction.predict(model, images[args.images])
    explained, checked = explain(args, names, options, logits, images, labels, probabilities)
    output.show("saliency", explained_faces, explained)
    for page in range(1, explained_faces.pages(explained)):
        output.add(f"saliency_{page + 1}", figure=explained_faces.draw(explained, page))
    if checked:
        output.show("faithfulness", faithfulness, checked)

    # The same faces with the mouth hidden.
    if args.covered:
        numbers = list(range(min(args.covered, len(images))))
        covered = covering.cover_mouths(
            logits,
            images[numbers],
            labels[numbers],
            options,
            run=str(args.model),
            method=registry.DEFAULT if registry.DEFAULT in names else names[0],
            numbers=numbers,
        )
        output.show("covered_mouths", covered_mouths, covered)

    # Where the model looks for each emotion.
    if averaged_by != "none":
        averaged = maps.mean_maps(
            logits,
            images,
            labels,
            options,
            run=str(args.model),
            method=averaged_by,
            faces_per_class=args.faces_per_class,
        )
        output.show("mean_map", mean_map, averaged)
        output.add("regions", table=mean_map.regions(averaged))
    following = provenance.continued("filter_vis.py", [args.model], args.data)
    output.finish(f"See what its filters look for: {following}")


def choose_methods(asked, *, convolutions):
    """Return (methods that suit the model, those that were asked for but do not)."""
    default = registry.DEFAULT if convolutions else registry.DEFAULT_OF_ANY
    names = list(dict.fromkeys(asked or [default]))
    if "all" not in names:
        return names, []
    left_out = [] if convolutions else registry.by_convolution()
    return [name for name in registry.METHODS if name not in left_out], left_out


def load_held_out(args):
    """Return the run's validation images and labels, checked for what the flags ask of them."""
    from common.data import splits

    dataset, split = splits.load_of_run(args.model, args.data)
    images = dataset.train_images[split.validation_rows]
    labels = dataset.train_labels[split.validation_rows]
    cli.check_images(args, len(images))
    absent = [name for code, name in enumerate(CLASS_NAMES) if code not in labels]
    if args.mean_map != "none" and absent:
        raise ValueError(
            "the mean map needs validation faces of every emotion, found none of "
            f"{', '.join(absent)}: go without (--mean-map none)"
        )
    return images, labels


def explain(args, names, options, logits, images, labels, probabilities):
    """Return the maps of the chosen faces by each method, and the checks of these or None."""
    import numpy as np
    from tqdm import tqdm

    from common.attribution import faithfulness, integrated_gradients, maps
    from common.data import pixels
    from common.figures.saliency.explained_faces import ExplainedFaces

    inputs, true = pixels.to_inputs(images[args.images]), labels[args.images]
    named = {"true": true, "predicted": probabilities.argmax(axis=1)}
    classes = named[args.target] if args.target in named else np.full_like(true, args.target)
    found = {
        name: registry.load(name).attribute(logits, inputs, classes, options)
        for name in tqdm(names, desc="maps", unit=" methods", delay=2, disable=None)
    }
    importances = {name: maps.importance(name, found[name], args.smoothing) for name in names}
    checked = error = None
    if not args.no_check:
        checked = faithfulness.check(
            logits, inputs, importances, classes, options, run=str(args.model), images=args.images
        )
    if "integrated_gradients" in names:
        error = integrated_gradients.completeness_error(
            logits, inputs, found["integrated_gradients"], classes
        ).max()
    explained = ExplainedFaces(
        run=str(args.model),
        images=args.images,
        faces=images[args.images],
        labels=true,
        probabilities=probabilities,
        classes=classes,
        maps=found,
        shown={
            name: maps.normalised(values, percentile=DISPLAY_PERCENTILE)
            for name, values in importances.items()
        },
        masked={
            name: maps.mask_unimportant(inputs, values, keep=args.keep)
            for name, values in importances.items()
        },
        areas=checked.areas() if checked else None,
        completeness_error=error,
        smoothing=args.smoothing,
    )
    return explained, checked


if __name__ == "__main__":
    cli.run(main)
