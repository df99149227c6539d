"""Show what the filters of a trained model look for, by gradient ascent and on real faces.

    python filter_vis.py --model pretrained/cnn
    python filter_vis.py --part all --layers conv2d_5 conv2d_6 --regularised --gif

Parts: 'ascent' turns white noise into the image that excites a filter the most, for all filters
of a layer; 'outputs' shows what each filter puts out for a validation image; 'top' finds the
validation faces that excite each filter the most; 'classes' makes the image that excites each
emotion's logit the most.

Reads a run folder, and for 'outputs' and 'top' the data it was trained on.
Writes figures and, beside each, its arrays (.npz) to --out, with observations.txt
and manifest.json.
Expect stripes in the first layers, parts of faces in the last, and a minute on two CPU cores for
the default, three for all parts.
"""

from dataclasses import replace

from common import cli
from common.labels import CLASS_NAMES
from common.runs import provenance

PARTS = ("ascent", "outputs", "top", "classes")
ASCENT_LAYERS, OUTPUT_LAYERS = ["conv2d_1", "conv2d_2"], ["conv2d_2", "conv2d_3"]  # the report's
REPORT_IMAGE = [666]
FRAMES = 50  # of an animation


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_model(options)
    cli.add_data(options)
    cli.add_out(options, __file__)
    cli.add_seed(options)
    cli.add_images(options, default=REPORT_IMAGE)
    options.add_argument(
        "--part",
        nargs="+",
        choices=(*PARTS, "all"),
        default=["ascent", "outputs"],
        help="what to show (default: ascent outputs)",
    )
    options.add_argument(
        "--layers",
        metavar="NAME",
        nargs="+",
        help="layers to look at (default: conv2d_1 conv2d_2; for outputs conv2d_2 conv2d_3)",
    )
    options.add_argument(
        "--filters",
        metavar="N",
        type=cli.non_negative,
        nargs="+",
        help="numbers of filters (default: all of a layer)",
    )
    options.add_argument(
        "--steps",
        metavar="N",
        type=cli.positive,
        default=100,
        help="steps of gradient ascent (default: %(default)s)",
    )
    options.add_argument(
        "--snapshot",
        metavar="N",
        type=cli.non_negative,
        nargs="+",
        help="steps after which the images of filters are drawn (default: nine tenths of --steps)",
    )
    options.add_argument(
        "--regularised",
        action="store_true",
        help="smooth images of filters, for deep layers; class images always are",
    )
    options.add_argument(
        "--objective",
        choices=("active", "output"),
        default="active",
        help="mean over a filter's map after the activation function that follows the layer, or "
        "before it (default: %(default)s)",
    )
    options.add_argument(
        "--classes",
        metavar="NAME",
        type=cli.emotion,
        nargs="+",
        default=list(range(len(CLASS_NAMES))),
        help="emotions, by name or number (default: all seven)",
    )
    options.add_argument(
        "--seeds",
        metavar="N",
        type=cli.positive,
        default=3,
        help="images of each class, from different noise (default: %(default)s)",
    )
    options.add_argument(
        "--faces",
        metavar="N",
        type=cli.positive,
        default=6,
        help="faces for each filter (default: %(default)s)",
    )
    options.add_argument("--gif", action="store_true", help="also animate each ascent")
    return options


def main(argv=None):
    """Show the parts that were asked for."""
    args = build_parser().parse_args(argv)
    parts = set(PARTS if "all" in args.part else args.part)
    snapshots = sorted(set(args.snapshot or [max(1, args.steps * 9 // 10)]))
    if snapshots[-1] > args.steps:
        raise ValueError(
            f"--snapshot: expected at most the {args.steps} --steps, found {snapshots[-1]}"
        )
    frames = [*range(0, args.steps, max(1, args.steps // FRAMES)), args.steps] if args.gif else []

    from common.ascent import maximise, responses
    from common.models import checkpoints
    from common.outputs import Output
    from common.runs import records

    model, _ = checkpoints.load(args.model)
    ascent_layers = args.layers or ASCENT_LAYERS if parts & {"ascent", "top"} else []
    output_layers = args.layers or OUTPUT_LAYERS if "outputs" in parts else []
    units = {
        layer: responses.layer_units(model, layer, args.filters, maps=layer in output_layers)
        for layer in [*ascent_layers, *output_layers]
    }
    held_out = load_held_out(args) if parts & {"outputs", "top"} else ()
    output = Output(args.out, argv=argv, models=[args.model])
    options = maximise.Options(
        steps=args.steps,
        snapshots=[0, *snapshots, *frames],
        activated=args.objective == "active",
        regularised=args.regularised,
        seed=args.seed,
    )

    for layer in output_layers:
        show_outputs(output, model, layer, units[layer], *held_out)
    for layer in ascent_layers:
        noise = maximise.white_noise(units[layer], seed=args.seed)
        grown = ascend(model, layer, units[layer], options, noise)
        if "ascent" in parts:
            show_ascent(output, grown, snapshots, frames)
        if "top" in parts:
            show_top_activations(args, output, model, grown.at(snapshots[-1:]), *held_out[:2])
    if "classes" in parts:
        show_classes(args, output, model, options, frames)
    following = "saliency.py" if records.is_scored(args.model) else "predict.py"
    output.finish(f"Next: {provenance.continued(following, [args.model], args.data)}")


def load_held_out(args):
    """Return validation images, float32 (n, 48, 48), labels (n,), and numbers of images to show."""
    from common.data import pixels, splits

    dataset, split = splits.load_of_run(args.model, args.data)
    images = pixels.to_inputs(dataset.train_images[split.validation_rows])[..., 0]
    labels = dataset.train_labels[split.validation_rows]
    if args.images is REPORT_IMAGE and len(images) <= REPORT_IMAGE[0]:
        return images, labels, [len(images) - 1]  # small data hold out fewer than the report
    cli.check_images(args, len(images))
    return images, labels, args.images


def show_outputs(output, model, layer, units, images, labels, numbers):
    """Show what filters of a layer put out for validation images."""
    import numpy as np

    from common.ascent import responses
    from common.figures.filters import outputs

    found = responses.layer_outputs(model, layer, images[numbers])[..., units]
    for number, maps in zip(numbers, np.moveaxis(found, -1, 1), strict=True):
        result = outputs.Outputs(layer, number, labels[number], images[number], units, maps)
        output.show(f"outputs_{layer}_image{number}", outputs, result)


def ascend(model, layer, units, options, start):
    """Return the `Ascent` of units of a layer, with a progress bar."""
    from tqdm import tqdm

    from common.ascent import maximise

    total = len(units) * options.steps
    with tqdm(total=total, desc=layer, unit=" images", delay=2, disable=None) as bar:
        return maximise.ascend(model, layer, units, options, start=start, progress=bar.update)


def show_ascent(output, grown, snapshots, frames):
    """Show the images that filters of a layer grew from noise."""
    from common.figures.filters import animation, ascent

    for step in snapshots:
        output.show(f"ascent_{grown.name}_step{step}", ascent, grown.at([0, step]))
    if frames:
        animation.save(grown.at(frames).images, output.file(f"ascent_{grown.name}.gif"))


def show_top_activations(args, output, model, grown, images, labels):
    """Show the faces that excite each filter the most, beside the image that it grew."""
    import numpy as np
    from tqdm import tqdm

    from common.ascent import responses
    from common.data import pixels
    from common.figures.filters import top_activations

    distinct = np.unique(pixels.duplicate_groups(images), return_index=True)[1]
    with tqdm(total=len(distinct), desc=grown.layer, unit=" faces", delay=2, disable=None) as bar:
        found = responses.top_activating(
            model,
            grown.layer,
            images,
            args.faces,
            among=distinct,
            units=grown.units,
            activated=args.objective == "active",
            progress=bar.update,
        )
    faces, classes = images[found.indices], labels[found.indices]
    result = top_activations.TopFaces(grown, found, faces, classes, len(distinct))
    output.show(f"top_{grown.name}", top_activations, result)


def show_classes(args, output, model, options, frames):
    """Show the image that excites each class the most, from several noises."""
    import numpy as np

    from common.ascent import maximise, responses
    from common.figures.filters import animation, classes

    options = replace(options, snapshots=[*frames, args.steps], regularised=True)
    units = np.tile(args.classes, args.seeds)
    noises = [maximise.white_noise(args.classes, seed=args.seed + k) for k in range(args.seeds)]
    grown = ascend(model, "logits", units, options, np.concatenate(noises))
    result = classes.ClassImages(
        classes=units,
        columns=len(args.classes),
        images=grown.images[-1],
        logits=grown.activations[-1],
        probabilities=responses.layer_outputs(model, "probabilities", grown.images[-1]),
    )
    output.show("classes", classes, result)
    if frames:
        animation.save(grown.images, output.file("classes.gif"), columns=result.columns)


if __name__ == "__main__":
    cli.run(main)
