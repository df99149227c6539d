"""Saliency maps beside their faces, how far to believe them, and the mean map of each emotion."""

import numpy as np

from common.figures import style
from common.labels import CLASS_NAMES

TITLES = {
    "gradient": "gradient",
    "gradient_times_input": "gradient x input",
    "smooth_gradient": "SmoothGrad",
    "integrated_gradients": "integrated gradients",
    "guided_backpropagation": "guided backpropagation",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
    "random": "random masking",
}
COLOURS = dict(
    zip(
        TITLES,
        ["#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#7A5195"],
        strict=False,
    )
)
HEAT = "inferno"
RANDOM = "#888888"


def explained_faces(faces, captions, maps, masked, *, notes=None, title):
    """Return a page: the faces, and below them the heat-map and the masked face by each method.

    Args:
        faces: (n, 48, 48), a column each.
        captions: n texts above the faces.
        maps: dictionary of method -> (n, 48, 48) in [0, 1].
        masked: dictionary of method -> (n, 48, 48), faces without what is unimportant.
        notes: dictionary of method -> n texts above its heat-maps.
        title: above the page.
    """
    rows, columns = 1 + 2 * len(maps), len(faces)
    figure = style.new_figure(
        max(1.4 * columns + 1.7, 5), 1.42 * rows + (0.32 * len(maps) if notes else 0) + 0.7
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    _row(grid[0], "original", faces, captions)
    for place, method in enumerate(maps):
        above, below = grid[1 + 2 * place], grid[2 + 2 * place]
        name = TITLES[method].replace(" ", "\n", 1)
        _row(below, f"{name}\nmasked", masked[method])
        _label(
            above[0], f"{name}\nheat-map" + "\n\n(in brackets:\nmasking at\nrandom)" * bool(notes)
        )
        for column, axes in enumerate(above):
            drawn = axes.imshow(maps[method][column], cmap=HEAT, vmin=0, vmax=1)
            axes.set_axis_off()
            if notes:
                axes.set_title(notes[method][column], fontsize=6.5)
    bar = figure.colorbar(drawn, ax=grid[1:].ravel().tolist(), shrink=min(1.0, 3 / rows), aspect=25)
    bar.set_label("importance, as a share of the map's highest")
    figure.suptitle(title)
    return figure


def faithfulness(curves, layers, correlations, *, title):
    """Return three panels: deletion, insertion, and the maps while the model forgets.

    Args:
        curves: dictionary of method (and "random") -> (deletion, insertion), each (n, steps + 1),
            probability of the class by the share of pixels.
        layers: names in the order they are randomised.
        correlations: dictionary of method -> (layers + 1, n), rank correlation with the map of the
            trained model.
        title: above the figure.
    """
    figure = style.new_figure(12, 4.2)
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
    for panel, (axes, heading) in enumerate(
        zip(panels, ("deletion: lower is better", "insertion: higher is better"), strict=False)
    ):
        for name, both in curves.items():
            mean = both[panel].mean(axis=0)
            colour, line = _line(name)
            axes.plot(
                np.linspace(0, 100, len(mean)),
                mean,
                color=colour,
                linestyle=line,
                label=f"{TITLES[name]}, area {np.trapezoid(mean, dx=1 / (len(mean) - 1)):.3f}",
            )
        axes.set(
            title=heading,
            xlabel=f"pixels {('blurred away', 'put back into a blurred image')[panel]}, "
            "most important first (%)",
            ylabel="probability of the class",
            ylim=(0, 1),
        )
        axes.legend(fontsize=7)
    steps = np.arange(len(layers) + 1)
    for name, values in correlations.items():
        colour, _ = _line(name)
        panels[2].plot(steps, values, ".", color=colour, alpha=0.3, markersize=4)
        panels[2].plot(
            steps, values.mean(axis=1), "o-", color=colour, markersize=4, label=TITLES[name]
        )
    panels[2].axhline(0, color=RANDOM, linewidth=0.8, linestyle=":")
    panels[2].set_xticks(steps, ["trained", *layers], rotation=60, ha="right", fontsize=7)
    panels[2].set(
        title="the same map after layers are randomised:\nshould fall to 0",
        xlabel="randomised down to this layer",
        ylabel="rank correlation with the trained map",
    )
    panels[2].legend(fontsize=7)
    figure.suptitle(title)
    return figure


def mean_maps(mean_faces, maps, counts, regions, *, title):
    """Return for each emotion the mean face, the mean map, and how it differs from the others'.

    Args:
        mean_faces: (7, 48, 48) in [0, 1].
        maps: (7, 48, 48), mean maps of sum 1.
        counts: faces of each emotion.
        regions: dictionary of name -> (first row, row after the last).
        title: above the figure.
    """
    figure = style.new_figure(12.5, 5.6)
    grid = figure.subplots(3, len(maps), squeeze=False)
    captions = [f"{name}\n{count} faces" for name, count in zip(CLASS_NAMES, counts, strict=True)]
    _row(grid[0], "mean face", mean_faces, captions)
    relative = maps * maps[0].size  # 1 is what a map without preference has everywhere
    difference = relative - relative.mean(axis=0)
    largest = np.abs(difference).max() or 1.0
    kinds = (
        (relative, HEAT, 0, relative.max() or 1.0, "mean map", "times the\naverage pixel"),
        (difference, "RdBu_r", -largest, largest, "less the mean\nof all emotions", "difference"),
    )
    for row, (values, colours, low, high, label, unit) in zip(grid[1:], kinds, strict=True):
        _label(row[0], label)
        for axes, value in zip(row, values, strict=True):
            drawn = axes.imshow(value, cmap=colours, vmin=low, vmax=high)
            axes.set_axis_off()
        figure.colorbar(drawn, ax=row.tolist(), aspect=12, shrink=0.9).set_label(unit)
    for axes in grid.ravel():
        for top, _ in regions.values():
            axes.axhline(top - 0.5, color="#00c0c0", linewidth=0.6, linestyle=":")
    for name, (top, bottom) in regions.items():
        text = grid[0, -1].text(48.5, (top + bottom) / 2 - 0.5, name, fontsize=7, va="center")
        text.set_in_layout(False)  # it stands above the colour bars, which make the room
    figure.suptitle(title)
    return figure


def _row(row, label, images, captions=None):
    _label(row[0], label)
    for column, (axes, image) in enumerate(zip(row, images, strict=True)):
        style.show_face(axes, image, captions[column] if captions else "")


def _label(axes, text):
    axes.text(
        -0.08,
        0.5,
        text,
        transform=axes.transAxes,
        ha="right",
        va="center",
        fontsize=8,
    )


def _line(name):
    return (RANDOM, "--") if name == "random" else (COLOURS[name], "-")
