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

The plain gradient is what the report used. SmoothGrad is shown beside it, because the mean over
noisy copies of a face is less speckled and was more faithful here.
"""

from common import cli
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.runs import provenance, storage

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
DISPLAY_PERCENTILE = 99.5  # of a map gets the brightest colour: one pixel must not darken all


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

    from common import attribution
    from common.data import pixels, splits
    from common.figures import attribution as figures
    from common.figures import style
    from common.models import checkpoints, prediction

    storage.check_writable(args.out)
    model = checkpoints.load(args.model)[0]
    logits = prediction.logits_model(model)
    lines = []
    if "all" in args.method and not attribution.convolutions(logits):
        names.remove("grad_cam")
        lines.append(f"Grad-CAM is left out: {args.model} has no convolutions.")
    if "grad_cam" in (*names, args.mean_map):
        attribution.convolution(logits, args.layer)
    faces, split = splits.load_of_run(args.model, args.data)
    images = faces.train_images[split.validation_rows]
    labels = faces.train_labels[split.validation_rows]
    cli.check_images(args, len(images))
    absent = [name for code, name in enumerate(CLASS_NAMES) if code not in labels]
    if args.mean_map != "none" and absent:
        raise ValueError(
            "the mean map needs validation faces of every emotion, found none of "
            f"{', '.join(absent)}: go without (--mean-map none)"
        )
    args.source = f"{args.model}: {provenance.command_line(argv)}"
    args.options = {
        "smooth_gradient": {"samples": args.samples, "seed": args.seed},
        "grad_cam": {"layer": args.layer},
    }

    # What the model says of the images, and which class to explain.
    inputs, true = pixels.to_inputs(images[args.images]), labels[args.images]
    probabilities = prediction.predict(model, images[args.images])
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
    if args.mean_map != "none":
        lines += _average_maps(args, logits, images, labels)
        written += ["mean_map.png", "mean_map.npz", "regions.csv"]
    lines.append(
        "Blank maps, zero everywhere: "
        + ", ".join(
            f"{figures.TITLES[name]} {attribution.zero_share(maps[name]):.0%}" for name in names
        )
        + f" of the {len(inputs)} images."
    )
    if "integrated_gradients" in names:
        error = attribution.completeness_error(
            logits, inputs, maps["integrated_gradients"], targets
        ).max()
        lines.append(
            "Integrated gradients add up to the change of the logit from a flat grey image, but "
            f"for {error:.1%} at most."
        )

    shown = {
        name: attribution.normalised(importances[name], percentile=DISPLAY_PERCENTILE)
        for name in names
    }
    for start in range(0, len(inputs), PAGE):
        page = slice(start, start + PAGE)
        figure = figures.explained_faces(
            inputs[page, ..., 0],
            captions[page],
            {name: shown[name][page] for name in names},
            {name: masked[name][page] for name in names},
            notes=notes and {name: notes[name][page] for name in names},
            title=f"What drives the decisions of {args.model}",
        )
        file = f"saliency_{start // PAGE + 1}.png" if start else "saliency.png"
        style.save(figure, args.out / file, source=args.source)
        written.append(file)
    storage.write_arrays(
        args.out / "saliency.npz",
        images=args.images,
        faces=images[args.images],
        labels=true,
        probabilities=probabilities,
        targets=targets,
        **{f"map_{name}": maps[name] for name in names},
        **{f"shown_{name}": shown[name] for name in names},
        **{f"masked_{name}": masked[name] for name in names},
    )
    storage.write_text(args.out / "observations.txt", "\n".join(lines) + "\n")
    print("\n".join(lines))
    print(f"Wrote {', '.join(written)} to {args.out}.")
    print(f"See what its filters look for: python filter_vis.py --model {args.model}")


def _check_maps(args, logits, inputs, importances, targets):
    """Draw and write the checks of the maps; return a note for each map, and sentences."""
    import numpy as np
    from tqdm import tqdm

    from common import attribution
    from common.figures import attribution as figures
    from common.figures import style

    curves = attribution.faithfulness(logits, inputs, importances, targets, seed=args.seed)
    areas = {name: [attribution.area(curve) for curve in both] for name, both in curves.items()}
    chance = areas["random"]
    correlations, notes, lines, table = {}, {}, [], []
    depth = 1 + len(attribution.layers_with_kernel(logits))
    with tqdm(
        total=depth * len(importances), desc="randomising", unit=" maps", delay=2, disable=None
    ) as bar:
        for name in importances:

            def explain(*model_images_targets, name=name):
                bar.update()
                return attribution.METHODS[name](
                    *model_images_targets, **args.options.get(name, {})
                )

            layers, correlations[name] = attribution.cascading_randomisation(
                logits, explain, inputs, targets, seed=args.seed
            )

    for name, (deletion, insertion) in areas.items():
        if name == "random":
            continue
        notes[name] = [
            f"deletion {less:.2f} ({chance_less:.2f})\ninsertion {more:.2f} ({chance_more:.2f})"
            for less, more, chance_less, chance_more in zip(
                deletion, insertion, *chance, strict=True
            )
        ]
        better = (deletion < chance[0]) & (insertion > chance[1])
        top, last = correlations[name][[1, -1]].mean(axis=1)
        fate = (
            "it shows what the model learned"
            if abs(last) < 0.2
            else "it shows the image as much as the model"
            if last < 0.5
            else "it shows the image rather than the model"
        )
        lines.append(
            f"{figures.TITLES[name]}: deletion area {deletion.mean():.3f} (random masking "
            f"{chance[0].mean():.3f}; lower is better), insertion {insertion.mean():.3f} (random "
            f"{chance[1].mean():.3f}; higher is better), better in both on {better.sum()} of "
            f"{len(better)} images; rank correlation {top:.2f} with its map when {layers[0]} is "
            f"randomised, {last:.2f} when all layers are: {fate}."
        )
        table += [
            {
                "image": image,
                "target": CLASS_NAMES[target],
                "method": name,
                "deletion_area": f"{deletion[place]:.4f}",
                "deletion_area_random": f"{chance[0][place]:.4f}",
                "insertion_area": f"{insertion[place]:.4f}",
                "insertion_area_random": f"{chance[1][place]:.4f}",
                "correlation_top_layer_randomised": f"{correlations[name][1][place]:.4f}",
                "correlation_all_randomised": f"{correlations[name][-1][place]:.4f}",
            }
            for place, (image, target) in enumerate(zip(args.images, targets, strict=True))
        ]
    storage.write_table(args.out / "faithfulness.csv", table)
    storage.write_arrays(
        args.out / "faithfulness.npz",
        layers=np.array(layers),
        **{f"correlations_{name}": values for name, values in correlations.items()},
        **{f"curves_{name}": np.array(both) for name, both in curves.items()},
    )
    figure = figures.faithfulness(
        curves,
        layers,
        correlations,
        title=f"How far to believe the maps of {args.model}, {len(inputs)} validation faces",
    )
    style.save(figure, args.out / "faithfulness.png", source=args.source)
    return notes, lines


def _average_maps(args, logits, images, labels):
    """Draw and write the mean map of each emotion; return sentences."""
    import numpy as np
    from tqdm import tqdm

    from common import attribution
    from common.data import pixels
    from common.figures import attribution as figures
    from common.figures import style

    method = attribution.METHODS[args.mean_map]
    counts, mean_faces, means, blank, lines, table = [], [], [], [], [], []
    for code in tqdm(range(NUM_CLASSES), desc="mean maps", unit=" emotions", delay=2, disable=None):
        rows = np.flatnonzero(labels == code)[: args.faces_per_class]
        inputs = pixels.to_inputs(images[rows])
        maps = method(logits, inputs, labels[rows], **args.options.get(args.mean_map, {}))
        counts.append(len(rows))
        mean_faces.append(inputs.mean(axis=0)[..., 0])
        means.append(attribution.mean_map(attribution.importance(args.mean_map, maps)))
        blank.append(attribution.zero_share(maps) * len(rows))
        shares = attribution.region_shares(means[-1])
        table += [
            {
                "emotion": CLASS_NAMES[code],
                "faces": len(rows),
                "region": region,
                "share_of_importance": f"{share:.4f}",
                "share_of_area": f"{area:.4f}",
            }
            for region, (share, area) in shares.items()
        ]
        ranked = sorted(shares.items(), key=lambda item: -item[1][0] / item[1][1])
        lines.append(
            f"{CLASS_NAMES[code]} ({len(rows)} faces), share of the importance (of the area): "
            + ", ".join(f"{region} {share:.0%} ({area:.0%})" for region, (share, area) in ranked)
            + "."
        )
    overall = attribution.region_shares(np.mean(means, axis=0))
    ratios = {region: share / area for region, (share, area) in overall.items()}
    holds = min(ratios["mouth"], ratios["brows and eyes"]) > 1
    lines += [
        "Over all emotions a pixel weighs, against an average one: "
        + ", ".join(f"{region} {ratio:.2f}" for region, ratio in ratios.items())
        + ". The report saw mouth and eyes drive the decision: that "
        + ("holds here." if holds else "does not hold here."),
        f"{sum(blank) / sum(counts):.1%} of these {sum(counts):,} maps are zero everywhere.",
    ]
    storage.write_table(args.out / "regions.csv", table)
    storage.write_arrays(
        args.out / "mean_map.npz", mean_faces=mean_faces, maps=means, counts=counts
    )
    figure = figures.mean_maps(
        np.array(mean_faces),
        np.array(means),
        counts,
        attribution.REGIONS,
        title=f"Where {args.model} looks for each emotion: mean of the maps by "
        f"{figures.TITLES[args.mean_map]}",
    )
    style.save(figure, args.out / "mean_map.png", source=args.source)
    return lines


if __name__ == "__main__":
    cli.run(main)
