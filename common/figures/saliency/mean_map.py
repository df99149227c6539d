"""The mean face of each emotion, its mean map, and how that differs from the others'."""

import numpy as np
from matplotlib.figure import Figure

from common.attribution import registry
from common.figures import style
from common.figures.saliency.explained_faces import HEAT
from common.labels import CLASS_NAMES

TITLE = "Where the model looks for each expression"
CAPTION = "Means over many faces."


def regions(result) -> list[dict]:
    """Return a row for each emotion and region; `result` is an `attribution.maps.MeanMaps`."""
    return [
        {
            "emotion": emotion,
            "faces": count,
            "region": region,
            "share_of_importance": f"{share:.4f}",
            "share_of_area": f"{area:.4f}",
        }
        for (emotion, shares), count in zip(result.shares().items(), result.counts, strict=True)
        for region, (share, area) in shares.items()
    ]


def arrays(result) -> dict[str, np.ndarray]:
    """Return what is drawn."""
    return {"mean_faces": result.mean_faces, "maps": result.maps, "counts": result.counts}


def sentences(result) -> list[str]:
    """Return which regions matter, for each emotion and for all, against what the report saw."""
    lines = []
    for (emotion, shares), count in zip(result.shares().items(), result.counts, strict=True):
        ranked = sorted(shares.items(), key=lambda item: -item[1][0] / item[1][1])
        lines.append(
            f"{emotion} ({count} faces), share of the importance (of the area): "
            + ", ".join(f"{region} {share:.0%} ({area:.0%})" for region, (share, area) in ranked)
            + "."
        )
    ratios = {region: share / area for region, (share, area) in result.overall_shares().items()}
    holds = min(ratios["mouth"], ratios["brows and eyes"]) > 1
    return [
        *lines,
        "Over all emotions a pixel weighs, against an average one: "
        + ", ".join(f"{region} {ratio:.2f}" for region, ratio in ratios.items())
        + ". The report saw mouth and eyes drive the decision: that "
        + ("holds here." if holds else "does not hold here."),
        f"{result.blank:.1%} of these {sum(result.counts):,} maps are zero everywhere.",
    ]


def draw(result) -> Figure:
    """Return three rows: mean faces, mean maps, and these less the mean of all emotions."""
    figure = style.new_figure(12.5, 5.6)
    grid = figure.subplots(3, len(result.maps), squeeze=False)
    captions = [
        f"{name}\n{count} faces" for name, count in zip(CLASS_NAMES, result.counts, strict=True)
    ]
    style.show_row(grid[0], "mean face", result.mean_faces, captions)
    relative = result.maps * result.maps[0].size  # 1: what a map without preference has everywhere
    difference = relative - relative.mean(axis=0)
    largest = np.abs(difference).max() or 1.0
    kinds = (
        (relative, HEAT, 0, relative.max() or 1.0, "mean map", "times the\naverage pixel"),
        (difference, "RdBu_r", -largest, largest, "less the mean\nof all emotions", "difference"),
    )
    for row, (values, colours, low, high, name, unit) in zip(grid[1:], kinds, strict=True):
        drawn = style.show_maps(row, name, values, colours, low, high)
        figure.colorbar(drawn, ax=row.tolist(), aspect=12, shrink=0.9).set_label(unit)
    for axes in grid.ravel():
        for top, _ in result.regions.values():
            axes.axhline(top - 0.5, color="#00c0c0", linewidth=0.6, linestyle=":")
    for name, (top, bottom) in result.regions.items():
        text = grid[0, -1].text(48.5, (top + bottom) / 2 - 0.5, name, fontsize=7, va="center")
        text.set_in_layout(False)  # it stands above the colour bars, which make the room
    style.title(
        figure,
        f"Where {result.run} looks for each emotion: mean of the maps by "
        f"{registry.describe(result.method, result.smoothing)}",
    )
    return figure
