"""One HTML page that needs nothing but itself: figures, tables, sentences and gaps.

A part of the page is a dictionary of title, introduction and blocks. The functions here make
blocks; `write` puts them on the page. All text is escaped by the template.
"""

import base64
import csv
import math
from collections.abc import Iterable
from pathlib import Path

import jinja2

from common.runs import storage

KINDS = {".png": "png", ".gif": "gif"}  # of image that a page can hold
HASH_DIGITS = 12
SCALE = 96 / 150  # of a browser's pixels an inch to a figure's, so that all text has one size


def figure(path: Path, title: str, caption: str, made: dict) -> dict:
    """Return a PNG or GIF as it was written, and what `made` it; the title is read aloud, too."""
    image, kind = path.read_bytes(), KINDS[path.suffix]
    width = int.from_bytes(image[16:20]) if kind == "png" else int.from_bytes(image[6:8], "little")
    return {
        "kind": "figure",
        "title": title,
        "caption": caption,
        "source": f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}",
        "width": round(SCALE * width) if kind == "png" else width,
        "made": made,
    }


def table(title: str, rows: list[dict], made: dict | None = None) -> dict:
    """Return a table of rows with the same keys, which head the columns.

    Two columns whose names end in "95 % low" and "95 % high" become one.
    """
    rows = [_with_intervals(row) for row in rows]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    numbers = [all(is_number for _, is_number in column) for column in zip(*cells, strict=True)]
    header = list(zip(rows[0], numbers, strict=True)) if rows else []
    return {"kind": "table", "title": title, "header": header, "rows": cells, "made": made}


def sentences(lines: Iterable[str]) -> dict:
    """Return sentences as a list."""
    return {"kind": "sentences", "lines": list(lines)}


def gap(what: str, commands: Iterable[str], reason: object = "") -> dict:
    """Return what stands where something is missing: the commands that fill the gap, and why."""
    return {"kind": "gap", "what": what, "commands": list(commands), "reason": str(reason)}


def made(manifest: dict) -> dict:
    """Return what a figure needs to be made again: command, run, seed, data and weights."""
    return {
        "command": manifest["command"],
        "runs": [
            {
                "folder": run["folder"],
                "seed": run["seed"],
                "data": str(run["data_hash"])[:HASH_DIGITS],
                "weights": str(run["weights"])[:HASH_DIGITS],
            }
            for run in manifest["runs"]
        ],
    }


def interval(value: float, low: float, high: float) -> str:
    """Return a fraction with its interval, as text."""
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def read_table(path: Path, columns: Iterable[str] | None = None) -> list[dict]:
    """Return the rows of a CSV file, or some columns of it; a ValueError if one is missing."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [{name: _parsed(row[name]) for name in columns or row} for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a table, found none ({error})") from error


def write(path: Path, **content) -> int:
    """Write the page, atomically, and return how many bytes it has.

    Its content is what `page.html` takes: title, introduction, summary (blocks), parts.
    """
    counts = {"figure": 0, "table": 0}
    for part in content["parts"]:
        part["gaps"] = sum(block["kind"] == "gap" for block in part["blocks"])
        for block in part["blocks"]:
            if block["kind"] in counts:
                counts[block["kind"]] += 1
                block["number"] = counts[block["kind"]]
    return fill(Path(__file__).with_name("page.html"), path, content)


def fill(template: Path, path: Path, content: dict) -> int:
    """Write a Jinja template, filled with its content and escaped; return how many bytes it has."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template.name).render(content)
    storage.write_text(path, text)
    return len(text.encode())


def _with_intervals(row):
    """Return a row with one column for the two ends of each interval."""
    joined = {}
    for name, value in row.items():
        if name.endswith("95 % low") and f"{name[:-3]}high" in row:
            ends = value, row[f"{name[:-3]}high"]
            known = all(isinstance(end, int | float) for end in ends)
            joined[name[:-4]] = f"[{ends[0]:.3f}, {ends[1]:.3f}]" if known else ""
        elif not name.endswith("95 % high"):
            joined[name] = value
    return joined


def _cell(value):
    """Return (text, whether it is a number) of the value of a cell."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}", True
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.3g}", True
    text = "" if value is None else str(value)
    return {"True": "yes", "False": "no"}.get(text, text), False


def _parsed(text):
    """Return the number that a cell of a CSV file holds, or else its text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
