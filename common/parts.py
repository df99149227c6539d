"""The parts of the report's page, made of the files that runs and stages left."""

import fnmatch
import itertools
from dataclasses import dataclass
from pathlib import Path

from common import comparison, contents, page, records, stages
from common.figures import curves, overview, style
from common.runs import provenance, storage

ADVICE = ("Wrote ", "Next: ", "See ")  # how the last lines of a script begin
FACTS = ("score", "n", "kept", "seconds", "parameters")


@dataclass(frozen=True)
class Sources:
    """What the page is made of."""

    plan: dict  # name -> `stages.Stage`; those that train are called as the runs
    failures: dict  # name of a stage -> last line of its error
    command: str  # fills gaps
    trains: bool  # it makes the runs, too
    folder: Path  # where the figure of the comparison goes


def build(sources):
    """Return what `page.write` needs: title, introduction, summary and parts."""
    show = {
        "run": _run,
        "layers": _layers,
        "comparison": _comparison,
        "stage": _stage,
        "results": _results,
        "records": _records,
    }
    return {
        "title": contents.TITLE,
        "introduction": contents.INTRODUCTION,
        "summary": [page.table("The report's numbers beside ours", _summary(sources))],
        "parts": [
            {
                "title": title,
                "introduction": introduction,
                "blocks": [block for kind, name in shown for block in show[kind](sources, name)],
            }
            for title, introduction, shown in contents.PARTS
        ],
    }


def draw_overview(sources):
    """Write overview.png, the most telling figures on one sheet; return whether all were there."""
    path = sources.folder / "overview.png"
    path.unlink(missing_ok=True)
    rows = [
        [_find(sources.plan[name], pattern) for name, pattern in row] for row in contents.OVERVIEW
    ]
    if None in itertools.chain(*rows):
        return False
    style.save(overview.sheet(rows), path, source=sources.command)
    return True


def _find(stage, pattern):
    """Return the path of a figure that a run or a finished stage wrote, or None."""
    if stage.trains:
        names = [path.name for path in stage.folder.glob("*")]
    else:
        names = (stages.finished(stage) or {"files": []})["files"]
    found = min(fnmatch.filter(names, pattern), default=None)
    return found and stage.folder / found


def _summary(sources):
    """Return a row a model: the report's numbers beside ours."""
    rows = []
    for key, (name, _) in contents.MODELS.items():
        try:
            run = records.read(sources.plan[key].folder).metrics
            ours = (
                page.interval(run["accuracy"], *run["interval_95"]),
                f"{run['n']:,}",
                f"{run['best_epoch']} of {run['epochs']}",
                f"{run['seconds_per_epoch']:.3g}",
                f"{run['parameters']:,}",
            )
        except (ValueError, KeyError, TypeError):  # its part of the page says what is missing
            ours = ("missing", "", "", "", "")
        report = [contents.PUBLISHED[key].get(fact, "not stated") for fact in FACTS]
        row = {"model": name, "report: public score": report[0]}
        row |= {"ours: held-out accuracy [95 %]": ours[0], "held-out rows": ours[1]}
        for place, title in enumerate(("epoch kept", "seconds an epoch", "parameters"), 2):
            row[f"{title}, report"], row[f"{title}, ours"] = report[place], ours[place]
        rows.append(row)
    return rows


def _run(sources, key):
    """Return what a run folder holds, and what its curves say."""
    stage = sources.plan[key]
    try:
        run = records.read(stage.folder)
        lines = records.curve_sentences(run)
    except ValueError as error:
        train = [] if sources.trains else [stage.command]
        reason = sources.failures.get(key, error if stage.folder.exists() else "")
        what = f"the {contents.MODELS[key][0]}, {stage.folder}"
        return [page.gap(what, [*train, sources.command], reason)]
    for flag, said in contents.BEGINNINGS.items():
        if others := run.config["flags"].get(flag):
            named = [others] if isinstance(others, str) else others
            lines.append(said.format(", ".join(named)))
    lines += [f"Stamped: {stamp}." for stamp in run.config.get("stamps") or ()]
    lines.append(f"Its predictions for Kaggle: python predict.py --model {stage.folder}")
    names = {path.name for path in stage.folder.iterdir()}
    if contents.SENTENCES.get(key) in names:
        said = (stage.folder / contents.SENTENCES[key]).read_text(
            encoding="utf-8", errors="replace"
        )
        lines += said.splitlines()
    return _files(stage, names, page.made(run.command, run), lines, fill=run.command)


def _layers(sources, key):
    """Return the table of a network's layers; nothing where the run is missing, as `_run` says."""
    try:
        run = records.read(sources.plan[key].folder)
    except ValueError:
        return []
    title = f"Layers of the {contents.MODELS[key][0]}"
    try:
        return [page.table(title, records.layer_table(run), page.made(run.command, run))]
    except ValueError as error:
        return [page.gap(title, [], error)]


def _comparison(sources, other):
    """Return the CNN and another run side by side."""
    names = {contents.MODELS[key][0]: key for key in ("cnn", other)}
    folders = {name: sources.plan[key].folder for name, key in names.items()}
    path = sources.folder / f"cnn_and_{other}.png"
    try:
        found = [records.read(folder) for folder in folders.values()]
        (name_a, run_a), (name_b, run_b) = folders.items()
        lines = comparison.sentences(name_a, run_a, name_b, run_b)
        table = comparison.table(folders)
        histories = {name: comparison.load_history(run) for name, run in folders.items()}
    except ValueError as error:
        return [page.gap(f"{' and '.join(folders)} side by side", [sources.command], error)]
    figure = curves.compared_runs(histories, table)
    style.save(figure, path, source=f"{run_a}, {run_b}: {sources.command}")
    made = page.made(sources.command, *found)
    return [
        page.figure(path, f"{name_a} and {name_b} side by side", contents.SIDE_BY_SIDE, made),
        page.sentences(lines),
        page.table(f"{name_a} and {name_b}", table.to_dict("records"), made),
    ]


def _stage(sources, name):
    """Return what a stage wrote and printed."""
    stage = sources.plan[name]
    record = stages.finished(stage)
    if record is None:
        waits = stages.waits_for(stage)
        train = [other.command for other in sources.plan.values() if str(other.folder) in waits]
        reason = f"It waits for {', '.join(waits)}." if waits else sources.failures.get(name, "")
        what = f"{stage.argv[0]} on {', '.join(map(str, stage.reads))}"
        return [page.gap(what, [*([] if sources.trains else train), sources.command], reason)]
    lines = [line for line in record["printed"] if not line.startswith(ADVICE)]
    made = page.made(record["command"], *map(records.read, stage.reads))
    return _files(stage, record["files"], made, lines, fill=sources.command)


def _files(stage, names, made, lines, *, fill):
    """Return the figures, sentences and tables of a run or stage; a gap for each that is missing.

    Args:
        stage: a `stages.Stage`.
        names: of the files that it wrote.
        made: of `page.made`.
        lines: sentences.
        fill: command that fills the gaps.
    """
    blocks = []
    for pattern, title, caption in contents.FIGURES[stage.name]:
        found = sorted(fnmatch.filter(names, pattern))
        blocks += [page.figure(stage.folder / name, title, caption, made) for name in found]
        if not found:
            blocks.append(page.gap(f"{title}, {stage.folder / pattern}", [fill]))
    blocks.append(page.sentences(lines))
    for name, title, columns in contents.TABLES.get(stage.name, ()):
        blocks.append(_table(stage.folder / name, title, columns, made, [fill]))
    return blocks


def _table(path, title, columns, made, commands):
    """Return the table in a CSV file, or a gap that says why there is none."""
    try:
        return page.table(title, page.read_table(path, columns), made)
    except ValueError as error:
        return page.gap(title, commands, error)


def _results(_, start):
    """Return everything in results/ whose name starts so: tables, figures and sentences."""
    what, commands = contents.RESULTS[start]
    blocks, folder = [], provenance.PROJECT / "results"
    try:
        known = storage.read_json(folder / contents.MADE)
    except ValueError:
        known = {}
    for path in sorted(folder.glob(f"{start}*")):
        title = contents.MEASURED.get(path.stem, path.stem.replace("_", " ").capitalize())
        made = known.get(path.stem)
        if path.suffix == ".csv":
            blocks.append(_table(path, title, None, made, commands))
        elif path.suffix == ".png":
            blocks.append(page.figure(path, title, "", made))
        elif path.suffix == ".txt":
            blocks.append(page.sentences(path.read_text(encoding="utf-8").splitlines()))
    return blocks or [page.gap(what, commands)]


def _records(sources, _):
    """Return a table of all runs and stages: command, time, versions and machine."""
    rows = []
    for name, stage in sources.plan.items():
        try:
            made = records.read(stage.folder).config if stage.trains else stages.finished(stage)
            rows.append(
                {
                    "what": name,
                    "command": made["command"],
                    "started": made["started"],
                    "seconds": made.get("seconds", ""),
                    "versions": " ".join(f"{k} {v}" for k, v in made["versions"].items()),
                    "commit": made["git_commit"],
                    "machine": "{cpus} x {processor}, {system}".format(**made["machine"]),
                }
            )
        except (ValueError, KeyError, TypeError):  # its part of the page says what is missing
            continue
    return [page.table("Runs and stages", rows)] if rows else []
