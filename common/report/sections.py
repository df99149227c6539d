"""The parts of the report's page, made of the manifests of runs, stages and studies."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import comparison, outputs
from common.figures.report import all_curves, all_matrices
from common.figures.training import compared_runs, curves
from common.labels import IMAGE_SHAPE
from common.report import contents, page, results
from common.runs import provenance, records, storage
from common.sweep import stages

FACTS = ("score", "n", "kept", "seconds", "parameters")


@dataclass(frozen=True)
class Sources:
    """What the page is made of."""

    plan: dict[str, stages.Stage]  # by name; those that train are called as the runs
    failures: dict[str, str]  # name of a stage -> last line of its error
    command: str  # fills gaps
    trains: bool  # it makes the runs, too
    folder: Path  # where the figure of the comparison goes


def build(sources: Sources) -> dict:
    """Return what `page.write` needs: title, introduction, summary and parts."""
    show = {
        "run": _run,
        "comparison": _comparison,
        "together": _together,
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
                "blocks": [block for part in parts for block in show[part.kind](sources, part)],
            }
            for title, introduction, parts in contents.PARTS
        ],
    }


def most_telling(sources: Sources) -> list[list[Path]] | None:
    """Return the rows of figures for the overview, or None if one of them is missing."""
    try:
        return [
            [_figure(sources.plan[name], start) for name, start in row] for row in contents.OVERVIEW
        ]
    except ValueError:
        return None


def _manifest(stage):
    """Return the manifest of a run or stage; raise a ValueError if it is not finished."""
    if not stage.trains:
        return stages.manifest(stage)
    run = records.read(stage.folder)
    if (stage.folder / outputs.MANIFEST).exists():
        return outputs.read(stage.folder)
    return _earlier(run, contents.MODELS[stage.name].name)


def _earlier(run, name):
    """Return what the manifest of a run would say that was trained before runs kept one."""
    trained = curves.TrainedRun(name, records.load_history(run.folder), run.metrics)
    try:
        sentences = curves.sentences(trained)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{run.folder}: expected the history and scores of a run, found no {error}"
        ) from error
    curve = {
        "name": "curves",
        "title": f"Loss and accuracy of the {name} by epoch",
        "caption": curves.CAPTION,
        "files": {"figure": "curves.png"} if (run.folder / "curves.png").is_file() else {},
        "sentences": sentences,
    }
    gap = {
        "name": "",
        "title": f"Layers of the {name}, and what else its run holds",
        "reason": f"{run.folder} was trained before runs kept a manifest.",
    }
    identity = outputs.identity(run.folder)
    return run.config | {"runs": [identity], "outputs": [curve], "gaps": [gap]}


def _figure(stage, start):
    """Return the path of the first figure whose name starts so; raise a ValueError without."""
    for entry in _manifest(stage)["outputs"]:
        if entry["name"].startswith(start) and "figure" in entry["files"]:
            return stage.folder / entry["files"]["figure"]
    raise ValueError(f"{stage.folder}: expected a figure {start}, found none")


def _summary(sources):
    """Return a row a model: the report's numbers beside ours."""
    rows = []
    for key, published in contents.PUBLISHED.items():
        try:
            run = records.read(sources.plan[key].folder).metrics
            ours = (
                *_score(run),
                f"{run['best_epoch']} of {run['epochs']}",
                f"{run['seconds_per_epoch']:.3g}",
                f"{run['parameters']:,}",
            )
        except (ValueError, KeyError, TypeError):  # its part of the page says what is missing
            ours = ("missing", "", "", "", "")
        report = [published.get(fact, "not stated") for fact in FACTS]
        row = {"model": contents.MODELS[key].name, "report: public score": report[0]}
        row |= {"ours: held-out accuracy [95 %]": ours[0], "held-out images": ours[1]}
        for place, title in enumerate(("epoch kept", "seconds an epoch", "parameters"), 2):
            row[f"{title}, report"], row[f"{title}, ours"] = report[place], ours[place]
        rows.append(row)
    return rows


def _run(sources, section):
    """Return what a run made, and how it began."""
    stage = sources.plan[section.name]
    try:
        manifest = _manifest(stage)
        run = records.read(stage.folder)
    except ValueError as error:
        train = [] if sources.trains else [stage.command]
        reason = sources.failures.get(section.name, error if stage.folder.exists() else "")
        what = f"the {contents.MODELS[section.name].name}, {stage.folder}"
        return [page.gap(what, [*train, sources.command], reason)]
    lines = []
    for flag, said in contents.BEGINNINGS.items():
        if others := run.config["flags"].get(flag):
            named = [others] if isinstance(others, str) else others
            lines.append(said.format(", ".join(named)))
    lines += [f"Caveat: {caveat}." for caveat in records.caveats(run.config)]
    predict = provenance.typed("python", "predict.py", "--model", stage.folder)
    lines.append(f"Its predictions for Kaggle: {predict}")
    script = contents.MODELS[section.name].training.split()[0]
    record = provenance.typed("python", script, "--resume", "--out", stage.folder)
    shown = _blocks(stage.folder, manifest, section, fill=record)
    first = page.sentences(_beside_report(section.name, run.metrics))
    return [first, *shown, page.sentences(lines)]


def _beside_report(key, measured):
    """Return the report's score of a network and ours, in a sentence, if ours is known."""
    published = contents.PUBLISHED[key]["score"]
    try:
        ours, count = _score(measured)
    except (ValueError, KeyError, TypeError):
        return []
    where = ", on the public half of the test images" if published[0].isdigit() else ""
    return [f"The report: {published}{where}. Ours: {ours} of {count} held-out images."]


def _score(measured):
    """Return the accuracy with its interval and the number of images, of `metrics.json`."""
    return page.interval(measured["accuracy"], *measured["interval_95"]), f"{measured['n']:,}"


def _comparison(sources, section):
    """Return two runs side by side."""
    names = {key: contents.MODELS[key].name for key in (section.beside, section.name)}
    named = {name: sources.plan[key].folder for key, name in names.items()}
    title = f"{' and '.join(named)} side by side"
    try:
        for run in named.values():
            records.read(run)
        first, second = named
        compared = compared_runs.compare(named, [(first, second)])
        folder = "_and_".join(names)
        view = "comparison", compared_runs, compared
        return _drawn(sources, section, folder, named.values(), *view, title=title)
    except (ValueError, KeyError, TypeError) as error:
        return [page.gap(title, [sources.command], error)]


def _together(sources, section):
    """Return all networks in one figure: their confusion, or their accuracy under an attack."""
    read, view = {
        "confusion": (_answers, all_matrices),
        "robustness": (_under_attack, all_curves),
    }[section.name]
    folders = [sources.plan[key].folder for key in contents.MODELS]
    try:
        compared = read(sources, folders)
        folder = f"{section.name}_of_all"
        return _drawn(sources, section, folder, folders, section.name, view, compared)
    except (ValueError, OSError) as error:
        return [page.gap(view.TITLE, [sources.command], error)]


def _drawn(sources, section, folder, models, *shown, **options):
    """Return what the page draws itself, into a folder of its own; for `outputs.Output.show`."""
    output = outputs.Output(sources.folder / folder, command=sources.command, models=models)
    output.show(*shown, **options)
    output.finish()
    return _blocks(output.folder, output.record, section, fill=sources.command)


def _answers(_, folders):
    """Return network -> evaluation on the same validation rows, of all run folders."""
    for run in folders:
        records.read(run)
    rows, labels, each = records.load_together(folders)
    images = np.empty((0, *IMAGE_SHAPE), np.uint8)
    return {
        network.name: comparison.Evaluation(
            name=network.name, rows=rows, labels=labels, probabilities=probabilities, images=images
        )
        for network, probabilities in zip(contents.MODELS.values(), each, strict=True)
    }


def _under_attack(sources, folders):
    """Return the accuracy of each network under one attack at each size."""
    records.load_together(folders)  # says that they held out other images, if they did
    tables, faces, columns = {}, [], ("attack", "in_8_bits", *all_curves.NUMBERS)
    for key, network in contents.MODELS.items():
        stage = sources.plan["adversarial" if key == "cnn" else f"adversarial_{key}"]
        _manifest(stage)  # says what is wrong, if anything is
        tables[network.name] = [
            {column: float(row[column]) for column in all_curves.NUMBERS}
            for row in page.read_table(stage.folder / "robustness.csv", columns)
            if (row["attack"], row["in_8_bits"]) == (contents.ATTACK, "no")
        ]
        faces.append(storage.read_arrays(stage.folder / "robustness.npz")["numbers"])
        if not np.array_equal(faces[0], faces[-1]):
            raise ValueError(f"{stage.folder}: expected the faces of the CNN, found others")
    return all_curves.Curves(len(faces[0]), tables)


def _stage(sources, section):
    """Return what a stage made."""
    stage = sources.plan[section.name]
    try:
        return _blocks(stage.folder, _manifest(stage), section, fill=sources.command)
    except ValueError as error:
        waits = stages.waits_for(stage)
        train = [other.command for other in sources.plan.values() if str(other.folder) in waits]
        begun = error if (stage.folder / outputs.MANIFEST).exists() else ""
        reason = (
            f"It waits for {', '.join(waits)}."
            if waits
            else sources.failures.get(section.name, begun)
        )
        what = f"{stage.arguments[0]} on {', '.join(map(str, stage.reads))}"
        return [page.gap(what, [*([] if sources.trains else train), sources.command], reason)]


def _results(_, section):
    """Return what the studies in results/ made whose names match."""
    try:
        return [
            block
            for manifest in results.read(section.name)
            for block in _blocks(results.FOLDER, manifest, section, fill=manifest["command"])
        ] or [page.gap(f"results/{section.name}.json", section.commands)]
    except ValueError as error:
        return [page.gap(f"results/{section.name}.json", section.commands, error)]


def _blocks(folder, manifest, section, *, fill):
    """Return what a finished manifest holds: figure, sentences, table of each output, and gaps.

    `fill` is the command that fills these.
    """
    made, blocks = page.made(manifest), []
    for entry in manifest["outputs"]:
        if entry["name"] in section.left_out:
            continue
        files, columns = entry["files"], entry.get("columns")
        title = entry.get("title") and f"{entry['title']}{section.suffix}"
        if title and "figure" in files:
            caption = entry.get("caption", "")
            blocks.append(page.figure(folder / files["figure"], title, caption, made))
        if entry["sentences"]:
            blocks.append(page.sentences(entry["sentences"]))
        if title and "table" in files and columns != []:
            try:
                rows = page.read_table(folder / files["table"], columns)
                blocks.append(page.table(title, rows, None if "figure" in files else made))
            except ValueError as error:
                blocks.append(page.gap(title, [fill], error))
    for gap in manifest["gaps"]:
        if gap["name"] not in section.left_out:
            blocks.append(page.gap(f"{gap['title']}{section.suffix}", [fill], gap["reason"]))
    return blocks


def _records(sources, _):
    """Return a table of all runs and stages: command, time, versions and machine."""
    rows = []
    for name, stage in sources.plan.items():
        try:
            manifest = _manifest(stage)
            machine = manifest["machine"]
            rows.append(
                {
                    "what": name,
                    "command": manifest["command"],
                    "started": manifest["started"],
                    "seconds": manifest.get("seconds", ""),
                    "versions": " ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
                    "commit": manifest["git_commit"],
                    "machine": f"{provenance.machine_name(machine)}, {machine['system']}",
                }
            )
        except (ValueError, KeyError, TypeError):  # its part of the page says what is missing
            continue
    return [page.table("Runs and stages", rows)] if rows else []
