"""Show what the filters of a trained model look for, by gradient ascent and on real faces.

    python filter_vis.py --model pretrained/cnn
    python filter_vis.py --part all --layers conv2d_5 conv2d_6 --regularised --gif

Parts: 'ascent' turns white noise into the image that excites a filter the most, for all filters
of a layer; 'outputs' shows what each filter makes of a validation image; 'top' finds the
validation faces that excite each filter the most; 'classes' makes the image that the model takes
for each emotion, from its logits.

Reads a run folder, and for 'outputs' and 'top' the data it was trained on.
Writes figures and, beside each, its arrays (.npz) to outputs/filter_vis.
Expect stripes in the first layers, parts of faces in the last, and under a minute on two CPU cores
for the default, three for all parts.
"""

from common import cli
from common.labels import CLASS_NAMES

PARTS = ("ascent", "outputs", "top", "classes")
ASCENT_LAYERS, OUTPUT_LAYERS = ["conv2d_1", "conv2d_2"], ["conv2d_2", "conv2d_3"]  # the report's
REPORT_IMAGE = [666]
FRAMES = 50  # of an animation
IDLE = 0.005  # a filter whose activation stays below this reads 0.00 under its image


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
    """Draw the parts that were asked for."""
    args = build_parser().parse_args(argv)
    parts = set(PARTS if "all" in args.part else args.part)
    args.snapshot = sorted(set(args.snapshot or [max(1, args.steps * 9 // 10)]))
    if args.snapshot[-1] > args.steps:
        raise ValueError(
            f"--snapshot: expected at most the {args.steps} --steps, found {args.snapshot[-1]}"
        )
    args.frames = []
    if args.gif:
        args.frames = [*range(0, args.steps, max(1, args.steps // FRAMES)), args.steps]
    import numpy as np

    from common import ascent
    from common.data import pixels, splits
    from common.figures import filters, style
    from common.models import checkpoints
    from common.runs import provenance, storage

    storage.check_writable(args.out)
    model, _ = checkpoints.load(args.model)
    if parts != {"classes"}:
        for layer in args.layers or sorted({*ASCENT_LAYERS, *OUTPUT_LAYERS}):
            ascent.layer_units(model, layer, args.filters)
    images = labels = None
    if parts & {"outputs", "top"}:
        faces, split = splits.load_of_run(args.model, args.data)
        images = pixels.to_inputs(faces.train_images[split.validation_rows])[..., 0]
        labels = faces.train_labels[split.validation_rows]
        if args.images is REPORT_IMAGE and len(images) <= REPORT_IMAGE[0]:
            args.images = [len(images) - 1]  # small data hold out fewer rows than the report
        cli.check_images(args, len(images))

    written = []

    def keep(name, figure, **arrays):
        source = f"{args.model}: {provenance.command_line(argv)}"
        style.save(figure, args.out / f"{name}.png", source=source)
        storage.write_arrays(args.out / f"{name}.npz", **arrays)
        written.extend([f"{name}.png", f"{name}.npz"])

    def animate(name, grown, columns=None):
        if args.gif:
            frames = np.stack([grown.at(step)[0] for step in args.frames])
            filters.save_animation(frames, args.out / f"{name}.gif", columns=columns)
            written.append(f"{name}.gif")

    if "outputs" in parts:
        _show_outputs(args, model, images, labels, keep)
    if parts & {"ascent", "top"}:
        _show_filters(args, model, parts, images, labels, keep, animate)
    if "classes" in parts:
        _show_classes(args, model, keep, animate)
    print(f"Wrote {', '.join(written)} to {args.out}.")
    print(f"Next: python saliency.py --model {args.model}")


def _show_outputs(args, model, images, labels, keep):
    """Draw what each filter of a layer puts out for the chosen images."""
    import numpy as np

    from common import ascent
    from common.figures import filters

    for layer in args.layers or OUTPUT_LAYERS:
        outputs = ascent.layer_outputs(model, layer, images[args.images])
        if outputs.ndim != 4:
            raise ValueError(
                f"{layer}: expected a layer that puts out maps, found one of {outputs.shape[-1]} "
                "numbers: choose --layers before the images are flattened"
            )
        units = ascent.layer_units(model, layer, args.filters)
        for number, maps in zip(args.images, np.moveaxis(outputs, -1, 1)[:, units], strict=True):
            label = CLASS_NAMES[labels[number]]
            figure = filters.contact_sheet(
                maps,
                filters.numbered(units, np.abs(maps).max(axis=(1, 2))),
                title=f"What {layer} puts out for validation image {number} ({label})\n"
                "filter: largest absolute output; red above 0, blue below, each on its own scale",
                signed=True,
                reference=(images[number], f"image {number}"),
            )
            name = f"outputs_{layer}_image{number}"
            keep(name, figure, image=images[number], units=units, maps=maps)
            means = maps.mean(axis=(1, 2))
            print(
                f"{layer} on image {number} ({label}): {np.mean(maps > 0):.0%} of the outputs are "
                f"above 0; {np.sum(maps.max(axis=(1, 2)) <= 0)} of {len(maps)} filters stay below "
                f"it; filter {units[means.argmax()]} answers most (mean {means.max():.2f})."
            )


def _show_filters(args, model, parts, images, labels, keep, animate):
    """Draw what filters grow from noise, and the faces that excite them, layer by layer."""
    import numpy as np
    from tqdm import tqdm

    from common import ascent
    from common.data import pixels
    from common.figures import filters

    suffix = "_regularised" if args.regularised else ""
    waves = []
    for layer in args.layers or ASCENT_LAYERS:
        units = ascent.layer_units(model, layer, args.filters)
        total = len(units) * args.steps
        with tqdm(total=total, desc=layer, unit=" images", delay=2, disable=None) as bar:
            grown = ascent.maximise(
                model,
                layer,
                units,
                start=ascent.white_noise(units, seed=args.seed),
                steps=args.steps,
                snapshots=[0, *args.snapshot, *args.frames],
                activated=args.objective == "active",
                regularised=args.regularised,
                seed=args.seed,
                progress=bar.update,
            )
        first, (pictures, last) = grown.at(0)[1], grown.at(args.snapshot[-1])

        if "ascent" in parts:
            for step in args.snapshot:
                tiles, losses = grown.at(step)
                figure = filters.contact_sheet(
                    tiles,
                    filters.numbered(units, losses),
                    title=f"{layer}: {'regularised' if suffix else 'plain'} ascent, step {step}\n"
                    "filter: loss, the mean activation of the filter on its image",
                )
                name = f"ascent_{layer}{suffix}_step{step}"
                keep(name, figure, units=units, images=tiles, losses=losses)
            animate(f"ascent_{layer}{suffix}", grown)
            rise = last - first
            idle = ", ".join(map(str, units[last < IDLE]))
            waves.append(f"{layer} {np.median(ascent.dominant_frequency(pictures)):.0f}")
            print(
                f"{layer}: by step {args.snapshot[-1]} the mean activation of the median filter "
                f"rose from {np.median(first):.2f} to {np.median(last):.2f}; filter "
                f"{units[rise.argmax()]} gained most ({rise.max():.2f}), filter "
                f"{units[rise.argmin()]} least ({rise.min():.2f}). Filters that nothing excites: "
                f"{idle or 'none'}."
            )

        if "top" in parts:
            distinct = np.unique(pixels.duplicate_groups(images), return_index=True)[1]
            with tqdm(total=len(distinct), desc=layer, unit=" faces", delay=2, disable=None) as bar:
                found = ascent.top_activating(
                    model,
                    layer,
                    images[distinct],
                    args.faces,
                    activated=args.objective == "active",
                    progress=bar.update,
                )
            rows, activations = distinct[found.indices[units]], found.activations[units]
            map_shape = model.get_layer(layer).output.shape[1:-1] or (np.nan, np.nan)
            figure = filters.top_faces(
                pictures,
                images[rows],
                (found.places[units] + 0.5) / map_shape,
                filters.numbered(units, activations[:, 0]),
                title=f"{layer}: what each filter grows, and the {rows.shape[1]} validation faces "
                "that excite it most (ring: where most)\nfilter: mean activation on the first face",
            )
            keep(
                f"top_{layer}{suffix}",
                figure,
                units=units,
                pictures=pictures,
                images=rows,
                activations=activations,
                places=found.places[units],
                largest=found.largest[units],
            )
            silent = ", ".join(map(str, units[found.largest[units] <= 0]))
            alike = (labels[rows] == labels[rows[:, :1]]).all(axis=1)
            named = [
                f"{unit} {CLASS_NAMES[labels[row[0]]]}"
                for unit, row in zip(units[alike], rows[alike], strict=True)
            ]
            print(
                f"{layer} on {len(distinct):,} different validation faces: filters that are never "
                f"active: {silent or 'none'}; whose {rows.shape[1]} top faces show one emotion: "
                f"{', '.join(named) or 'none'}."
            )
    if waves:
        print(f"Waves across an image that carry most power, median filter: {', '.join(waves)}.")


def _show_classes(args, model, keep, animate):
    """Draw the image that the model takes for each class, from several noises."""
    import numpy as np
    from tqdm import tqdm

    from common import ascent
    from common.figures import filters

    units = np.tile(args.classes, args.seeds)
    noises = [ascent.white_noise(args.classes, seed=args.seed + k) for k in range(args.seeds)]
    total = len(units) * args.steps
    with tqdm(total=total, desc="classes", unit=" images", delay=2, disable=None) as bar:
        grown = ascent.maximise(
            model,
            "logits",
            units,
            start=np.concatenate(noises),
            steps=args.steps,
            snapshots=[args.steps, *args.frames],
            regularised=True,
            seed=args.seed,
            progress=bar.update,
        )
    pictures, logits = grown.at(args.steps)
    probabilities = ascent.layer_outputs(model, "probabilities", pictures)
    confidences = probabilities[np.arange(len(units)), units]
    figure = filters.contact_sheet(
        pictures,
        [
            f"{CLASS_NAMES[code]} {confidence:.1%}\nlogit {logit:.1f}"
            for code, confidence, logit in zip(units, confidences, logits, strict=True)
        ],
        title="What excites each emotion's logit most, and the model's confidence in it\n"
        "each row from another noise",
        columns=len(args.classes),
        tile=1.3,
    )
    keep(
        "classes",
        figure,
        classes=units,
        images=pictures,
        logits=logits,
        probabilities=probabilities,
    )
    animate("classes", grown, columns=len(args.classes))

    for code in args.classes:
        first, second = probabilities[units == code].mean(axis=0).argsort()[:-3:-1]
        own = probabilities[units == code, code]
        print(
            f"{CLASS_NAMES[code]}: confidence {own.min():.1%} to {own.max():.1%}, mean logit "
            f"{logits[units == code].mean():.1f}; the likeliest other emotion is "
            f"{CLASS_NAMES[second if first == code else first]}."
        )
    likeness = np.corrcoef(pictures.reshape(len(units), -1))
    different = units[:, np.newaxis] != units
    same = ~different & ~np.eye(len(units), dtype=bool)
    if same.any() and different.any():
        print(
            f"Images of one class from different noise correlate {likeness[same].mean():.2f}, "
            f"images of different classes {likeness[different].mean():.2f}."
        )


if __name__ == "__main__":
    cli.run(main)
