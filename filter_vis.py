"""Show what the filters of a trained model look for, by gradient ascent and on real faces.

    python filter_vis.py --model pretrained/cnn
    python filter_vis.py --part all --layers conv2d_5 conv2d_6 --regularised --gif

Parts: 'ascent' turns white noise into the image that excites a filter the most, for all filters
of a layer; 'outputs' shows what each filter makes of a validation image; 'top' finds the
validation faces that excite each filter the most; 'classes' makes the image that the model takes
for each emotion, from its logits.

Reads a run folder, and for 'outputs' and 'top' the data it was trained on.
Writes figures and, beside each, its arrays (.npz) to outputs/filter_vis.
Expect textures of ever larger scale from layer to layer; the default takes under a minute on two
CPU cores, all parts about three.
"""

import sys

from common import cli
from common.labels import CLASS_NAMES, IMAGE_SIZE

PARTS = ("ascent", "outputs", "top", "classes")
ASCENT_LAYERS = ["conv2d_1", "conv2d_2"]
REPORT_IMAGE = [666]
OUTPUT_LAYERS = ["conv2d_2", "conv2d_3"]


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


def _show_filters(args, model, parts, images, labels):
    """Draw what filters grow from noise and which faces excite them; return the files' names."""
    import numpy as np
    from tqdm import tqdm

    from common import ascent, runs
    from common.figures import filters, style

    written, frequencies = [], {}
    for layer in args.layers or ASCENT_LAYERS:
        units = ascent.layer_units(model, layer, args.filters)
        print(f"{layer}: {args.steps} steps from white noise for {len(units)} filters.")
        frames = range(0, args.steps + 1, max(1, args.steps // 50)) if args.gif else ()
        with tqdm(total=len(units) * args.steps, unit=" images", disable=None) as bar:
            grown = ascent.maximise(
                model,
                layer,
                units,
                start=ascent.white_noise(units, seed=args.seed),
                steps=args.steps,
                snapshots=[0, *args.snapshot, args.steps, *frames],
                activated=args.objective == "active",
                regularised=args.regularised,
                seed=args.seed,
                on_step=bar.update,
            )
        kind = "regularised" if args.regularised else "plain"
        pictures = grown.images[list(grown.steps).index(args.snapshot[-1])]

        if "ascent" in parts:
            name = f"ascent_{layer}" + "_regularised" * args.regularised
            runs.write_arrays(args.out / f"{name}.npz", **vars(grown))
            written.append(f"{name}.npz")
            for step in args.snapshot:
                activations = grown.activations[list(grown.steps).index(step)]
                figure = filters.contact_sheet(
                    grown.images[list(grown.steps).index(step)],
                    [
                        f"{unit}: {value:.2f}"
                        for unit, value in zip(units, activations, strict=True)
                    ],
                    title=f"{layer}, {kind} gradient ascent, step {step}\n"
                    "filter: loss (mean activation of the filter on its image)",
                )
                style.save(figure, args.out / f"{name}_step{step}.png", source=args.source)
                written.append(f"{name}_step{step}.png")
            if args.gif:
                filters.save_animation(grown.images, args.out / f"{name}.gif")
                written.append(f"{name}.gif")
            frequencies[layer] = float(np.median(ascent.dominant_frequency(pictures)))
            rise = activations - grown.activations[0]
            print(
                f"  By step {step} the mean activation rose from {np.median(grown.activations[0]):.2f}"
                f" to {np.median(activations):.2f} (median filter), most in filter "
                f"{units[rise.argmax()]} (by {rise.max():.2f}), least in filter "
                f"{units[rise.argmin()]} (by {rise.min():.2f})."
            )

        if "top" in parts:
            print(f"  Looking for the faces that excite {layer} among {len(images):,}.")
            with tqdm(total=len(images), unit=" images", disable=None) as bar:
                found = ascent.top_activating(model, layer, images, args.faces, on_chunk=bar.update)
            indices, values, places = (array[units] for array in found)
            map_shape = model.get_layer(layer).output.shape[1:-1] or (np.nan, np.nan)
            figure = filters.top_faces(
                pictures,
                images[indices, ..., 0],
                (places + 0.5) / map_shape,
                [f"{unit}: {value:.2f}" for unit, value in zip(units, values[:, 0], strict=True)],
                title=f"{layer}: each filter's picture and the {indices.shape[1]} validation faces "
                "that excite it most, with the place\nfilter: its largest output on any face",
            )
            style.save(figure, args.out / f"top_{layer}.png", source=args.source)
            runs.write_arrays(
                args.out / f"top_{layer}.npz",
                units=units,
                pictures=pictures,
                images=indices,
                values=values,
                places=places,
            )
            written += [f"top_{layer}.png", f"top_{layer}.npz"]
            silent = units[values[:, 0] <= 0]
            print(
                f"  {len(silent)} of {len(units)} filters never put out more than 0 on "
                f"{len(images):,} validation faces"
                + (f": {', '.join(map(str, silent))}." if silent.size else ".")
            )
            agree = (labels[indices] == labels[indices[:, :1]]).all(axis=1)
            bound = [
                f"{unit} {CLASS_NAMES[labels[row[0]]]}"
                for unit, row in zip(units[agree], indices[agree], strict=True)
            ]
            print(
                f"  {len(bound)} of {len(units)} filters have top faces of one emotion only"
                + (f": {', '.join(bound)}." if bound else ".")
            )

    if frequencies:
        text = ", ".join(
            f"{layer} {value:.0f}"
            + (f" (a wave every {IMAGE_SIZE / value:.1f} pixels)" if value else "")
            for layer, value in frequencies.items()
        )
        print(f"Waves across an image that carry the most power, median filter: {text}.")
    return written


def _show_outputs(args, model, images, labels):
    """Draw what each filter of a layer makes of the images; return the files' names."""
    import numpy as np

    from common import ascent, runs
    from common.figures import filters, style

    written = []
    chosen = images[args.images]
    for layer in args.layers or OUTPUT_LAYERS:
        outputs = ascent.layer_outputs(model, layer, chosen)
        if outputs.ndim != 4:
            raise ValueError(
                f"{layer}: expected a layer that puts out maps, found one of {outputs.shape[-1]} "
                "numbers: choose one before the images are flattened"
            )
        units = ascent.layer_units(model, layer, args.filters)
        for number, image, maps in zip(args.images, chosen, outputs[..., units], strict=True):
            maps = np.moveaxis(maps, -1, 0)
            name = f"outputs_{layer}_image{number}"
            label = CLASS_NAMES[labels[number]]
            figure = filters.contact_sheet(
                maps,
                [
                    f"{unit}: {np.abs(tile).max():.1f}"
                    for unit, tile in zip(units, maps, strict=True)
                ],
                title=f"What {layer} puts out for validation image {number} ({label})\n"
                "filter: largest size; red above 0, blue below, each tile on its own scale",
                signed=True,
                reference=(image[..., 0], f"image {number}"),
            )
            style.save(figure, args.out / f"{name}.png", source=args.source)
            runs.write_arrays(args.out / f"{name}.npz", image=image[..., 0], units=units, maps=maps)
            written += [f"{name}.png", f"{name}.npz"]
            means = maps.mean(axis=(1, 2))
            print(
                f"{layer} on image {number} ({label}): {np.mean(maps > 0):.0%} of the outputs are "
                f"above 0, in {np.sum((maps <= 0).all(axis=(1, 2)))} of {len(maps)} filters none; "
                f"filter {units[means.argmax()]} answers most ({means.max():.2f} on average)."
            )
    return written


def _show_classes(args, model):
    """Draw the image that the model takes for each class; return the files' names."""
    import numpy as np
    from tqdm import tqdm

    from common import ascent, runs
    from common.figures import filters, style

    classes = np.array(args.classes)
    names = [CLASS_NAMES[code] for code in classes]
    print(f"{args.seeds} images of each of {', '.join(names)}, {args.steps} steps on the logits.")
    units = np.tile(classes, args.seeds)
    starts = [ascent.white_noise(classes, seed=args.seed + more) for more in range(args.seeds)]
    frames = range(0, args.steps + 1, max(1, args.steps // 50)) if args.gif else ()
    with tqdm(total=len(units) * args.steps, unit=" images", disable=None) as bar:
        grown = ascent.maximise(
            model,
            "logits",
            units,
            start=np.concatenate(starts),
            steps=args.steps,
            snapshots=[*frames, args.steps],
            regularised=True,
            seed=args.seed,
            on_step=bar.update,
        )
    pictures, logits = grown.images[-1], grown.activations[-1]
    probabilities = ascent.layer_outputs(model, "probabilities", pictures)
    confidences = probabilities[np.arange(len(units)), units]
    figure = filters.contact_sheet(
        pictures,
        [
            f"{CLASS_NAMES[code]} {confidence:.1%}\nlogit {logit:.1f}"
            for code, confidence, logit in zip(units, confidences, logits, strict=True)
        ],
        title="What the model takes for each emotion, with its confidence; one row a starting noise",
        columns=len(classes),
        tile=1.4,
    )
    style.save(figure, args.out / "classes.png", source=args.source)
    runs.write_arrays(args.out / "classes.npz", **vars(grown), probabilities=probabilities)
    written = ["classes.png", "classes.npz"]
    if args.gif:
        filters.save_animation(grown.images, args.out / "classes.gif", columns=len(classes))
        written.append("classes.gif")

    for place, name in enumerate(names):
        own = slice(place, None, len(classes))
        print(
            f"  {name}: confidence {confidences[own].min():.1%} to {confidences[own].max():.1%}, "
            f"logit {logits[own].mean():.1f}."
        )
    alike = np.corrcoef(pictures.reshape(len(units), -1))
    same = units[:, np.newaxis] == units
    np.fill_diagonal(same, False)
    others = units[:, np.newaxis] != units
    if same.any() and others.any():
        print(
            f"  Images of one class from different noise correlate {alike[same].mean():.2f}, images "
            f"of different classes {alike[others].mean():.2f}."
        )
    return written


def main(argv=None):
    """Draw the parts that were asked for."""
    args = build_parser().parse_args(argv)
    parts = set(PARTS if "all" in args.part else args.part)
    args.snapshot = sorted(set(args.snapshot or [max(1, args.steps * 9 // 10)]))
    if args.snapshot[-1] > args.steps:
        raise ValueError(
            f"--snapshot: expected at most the {args.steps} --steps, found {args.snapshot[-1]}"
        )
    from common import ascent, data, models, runs

    runs.check_writable(args.out)
    model, _ = models.load(args.model)
    for layer in args.layers or {*ASCENT_LAYERS, *OUTPUT_LAYERS}:
        if parts != {"classes"}:
            ascent.layer_units(model, layer, args.filters)
    images = labels = None
    if {"outputs", "top"} & parts:
        faces, split = data.load_of_run(args.model, args.data)
        images = data.to_inputs(faces.train_images[split.validation_rows])
        labels = faces.train_labels[split.validation_rows]
        if args.images is REPORT_IMAGE and REPORT_IMAGE[0] >= len(images):
            args.images = [len(images) - 1]  # small data hold out fewer rows than the report
        if max(args.images) >= len(images):
            raise ValueError(
                f"--images: unknown image {max(args.images)}: expected 0 to {len(images) - 1}, "
                f"the validation images of {args.model}"
            )

    args.source = f"{args.model}: {runs.command_line(argv)}"
    written = []
    if {"ascent", "top"} & parts:
        written += _show_filters(args, model, parts, images, labels)
    if "outputs" in parts:
        written += _show_outputs(args, model, images, labels)
    if "classes" in parts:
        written += _show_classes(args, model)
    print(f"Wrote {', '.join(written)} to {args.out}.")
    print(f"Next: python saliency.py --model {args.model}")


if __name__ == "__main__":
    cli.run(main)
