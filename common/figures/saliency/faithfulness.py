"""How far to believe the maps: deletion, insertion, and the maps while the model forgets."""

import numpy as np
from matplotlib.figure import Figure

from common.attribution import registry
from common.figures import style
from common.labels import CLASS_NAMES

TITLE = "How far to believe the maps"
CAPTION = (
    "The confidence while pixels are removed or shown in the order of the map, and whether the map "
    "changes when the weights are randomised."
)

RANDOM = registry.Method("random masking", "#888888")
PANELS = (  # heading, what is done to the pixels
    ("deletion: lower is better", "blurred away"),
    ("insertion: higher is better", "put back into a blurred image"),
)


def table(result) -> list[dict]:
    """Return a row for each method and image; `result` is an `attribution.faithfulness` one."""
    areas = result.areas()
    return [
        {
            "image": image,
            "target": CLASS_NAMES[code],
            "method": name,
            "deletion_area": f"{areas[name][0, place]:.4f}",
            "deletion_area_random": f"{areas['random'][0, place]:.4f}",
            "insertion_area": f"{areas[name][1, place]:.4f}",
            "insertion_area_random": f"{areas['random'][1, place]:.4f}",
            "correlation_top_layer_randomised": _number(correlations[1, place]),
            "correlation_all_randomised": _number(correlations[-1, place]),
        }
        for name, correlations in result.correlations.items()
        for place, (image, code) in enumerate(zip(result.images, result.classes, strict=True))
    ]


def _number(correlation):
    """Return a correlation as text, nothing where the map is blank."""
    return "" if np.isnan(correlation) else f"{correlation:.4f}"


def arrays(result) -> dict[str, np.ndarray]:
    """Return the curves and correlations."""
    return {
        "layers": np.array(result.layers),
        **{f"correlations_{name}": values for name, values in result.correlations.items()},
        **{f"curves_{name}": both for name, both in result.curves.items()},
    }


def sentences(result) -> list[str]:
    """Return what both checks say of each method."""
    areas, lines = result.areas(), []
    random_deletion, random_insertion = areas["random"]
    for name, correlations in result.correlations.items():
        deletion, insertion = areas[name]
        better = (deletion < random_deletion) & (insertion > random_insertion)
        told = ~np.isnan(correlations[0])
        fate = "no map shows anything, so that randomising the layers says nothing"
        if told.any():
            top, last = correlations[:, told][[1, -1]].mean(axis=1)
            fate = (
                f"rank correlation {top:.2f} with its map when {result.layers[0]} is randomised, "
                f"{last:.2f} when all layers are, over {told.sum()} images: it shows "
            )
            fate += (
                "what the model learned"
                if abs(last) < 0.2
                else "the image as much as the model"
                if last < 0.5
                else "the image rather than the model"
            )
        lines.append(
            f"{registry.method(name).title}: deletion area {deletion.mean():.3f} (random masking "
            f"{random_deletion.mean():.3f}; lower is better), insertion {insertion.mean():.3f} "
            f"(random {random_insertion.mean():.3f}; higher is better), better in both on "
            f"{better.sum()} of {len(better)} images; {fate}."
        )
    return lines


def draw(result) -> Figure:
    """Return three panels: deletion, insertion, and the maps while the model forgets."""
    figure = style.new_figure(12, 4.2)
    *panels, fading = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    areas = result.areas()
    for panel, (axes, (heading, done)) in enumerate(zip(panels, PANELS, strict=True)):
        for name, both in result.curves.items():
            method = RANDOM if name == "random" else registry.method(name)
            mean = both[panel].mean(axis=0)
            axes.plot(
                np.linspace(0, 100, len(mean)),
                mean,
                color=method.colour,
                linestyle="--" if method is RANDOM else "-",
                label=f"{method.title}, area {areas[name][panel].mean():.3f}",
            )
        axes.set(
            title=heading,
            xlabel=f"pixels {done}, most important first (%)",
            ylabel="probability of the class",
            ylim=(0, 1),
        )
        axes.legend(fontsize=7)
    steps = np.arange(len(result.layers) + 1)
    for name, values in result.correlations.items():
        method = registry.method(name)
        fading.plot(steps, values, ".", color=method.colour, alpha=0.3, markersize=4)
        told = values[:, ~np.isnan(values[0])]  # of maps that are not blank
        if told.size:
            mean, colour = told.mean(axis=1), method.colour
            fading.plot(steps, mean, "o-", color=colour, markersize=4, label=method.title)
    fading.axhline(0, color=RANDOM.colour, linewidth=0.8, linestyle=":")
    fading.set_xticks(steps, ["trained", *result.layers], rotation=60, ha="right", fontsize=7)
    fading.set(
        title="the same map after layers are randomised:\nshould fall to 0",
        xlabel="randomised down to this layer",
        ylabel="rank correlation with the trained map",
    )
    fading.legend(fontsize=7)
    style.title(
        figure,
        f"How far to believe the maps of {result.run}"
        + f", smoothed over {result.smoothing:g} pixels" * bool(result.smoothing)
        + f", {len(result.images)} validation faces",
    )
    return figure
