"""The manifest of a run that was trained before runs kept one, from the files that it has."""

from common.runs import records

CURVES = "The dotted line marks the epoch that is kept."
FILES = {  # name of an output -> title, whether every run should have it
    "curves": ("Loss and accuracy of the {} by epoch", True),
    "layers": ("Layers of the {}", True),
    "ledger": ("Pseudo-labels of each class, and how many of them are right", False),
    "comparison": ("The {} beside other runs", False),
}


def manifest(run: records.Run, name: str) -> dict:
    """Return what the manifest of a run says, with a gap for what the run does not have.

    `runs.write_json(run.folder / "manifest.json", manifest(run, name))` keeps it for good.

    Args:
        run: finished.
        name: of the network, as titles call it.

    Raises:
        ValueError: its history is missing or damaged.
    """
    found, gaps = [], []
    for file, (title, expected) in FILES.items():
        kinds = {"figure": f"{file}.png", "table": f"{file}.csv"}
        files = {kind: end for kind, end in kinds.items() if (run.folder / end).is_file()}
        entry = {"name": file, "title": title.format(name), "files": files, "sentences": []}
        if file == "curves":
            entry |= {"caption": CURVES, "sentences": records.curve_sentences(run)}
        elif (said := run.folder / f"{file}.txt").is_file():
            entry["sentences"] = said.read_text("utf-8", errors="replace").splitlines()
        if files:
            found.append(entry)
        elif expected:
            reason = f"{run.folder} was trained before runs kept it."
            gaps.append({"name": file, "title": entry["title"], "reason": reason})
    identity = {"folder": str(run.folder), "seed": run.seed}
    identity |= {"data_hash": run.data_hash, "weights": run.weights}
    return run.config | {"runs": [identity], "outputs": found, "gaps": gaps, "finished": True}
