"""From photographs or a video to files that say what models see in each face."""

import contextlib
import csv
import sys
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from common import cli
from common.data import photos, tracks, video
from common.figures.predict import annotated, moments, photographs, timeline
from common.labels import CLASS_NAMES, IMAGE_SHAPE, NUM_CLASSES
from common.outputs import Output
from common.runs import provenance, records, storage

FACES_AT_ONCE = 4  # that a frame of a video is likely to show, at most
DETECTION_SIDE = 640  # pixels; four times as quick as what photographs are searched at


class _Models:
    """Several models that answer as one; Keras is imported once there is a face to ask about."""

    def __init__(self, args, batch=None):
        self._args, self._loaded = args, None
        self._options = {"views": args.tta} | ({} if batch is None else {"batch": batch})

    def answers(self, faces):
        """Return their mean probabilities, (n, 7), of faces, uint8 (n, 48, 48)."""
        if not len(faces):
            return np.zeros((0, NUM_CLASSES))
        from common.models import ensemble, prediction

        if self._loaded is None:
            self._loaded = ensemble.load_each(self._args.model, half=self._args.half)
        each = [prediction.predict(model, faces, **self._options) for model in self._loaded]
        return np.mean(each, axis=0)


def label_photographs(args, argv):
    """Write what the models say of each face in the photographs, as it comes, and draw it.

    `args` are the flags of predict.py, `argv` as it was given.
    """
    files = tqdm(photos.list_files(args.photos), desc="photographs", unit="photo", disable=None)
    say = partial(tqdm.write, file=sys.stderr)
    name, number, models = records.display_name(args.model), 0, _Models(args)
    for cut in photos.cut_all(files, whole_image=args.whole_image, say=say):
        number += 1
        if number == 1:
            output = Output(args.out, argv=argv, models=args.model)
        probabilities = models.answers(cut.faces)
        photo = photographs.Photograph(
            cut.file, cut.colours, cut.frames, cut.faces, probabilities, name, cut.reduction
        )
        rows = photographs.rows(photo)
        if number == 1:
            output.add("photos", table=rows)
        else:
            with (output.folder / "photos.csv").open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, list(rows[0]), lineterminator="\n").writerows(rows)
        output.show(f"photos/{number:03d}_{photo.stem}", photographs, photo)
    if not number:
        raise ValueError(f"expected a face in at least one of {len(files)} files, found none")
    output.finish(_following(args))


def label_video(args, argv):
    """Follow the faces of a video or camera, write what the models say of them over time.

    Ctrl-C and SIGTERM end it early, and what was seen until then is written.
    `args` are the flags of predict.py, `argv` as it was given.
    """
    find = photos.whole_frame
    if not args.whole_image:
        photos.check_detector()
        find = partial(photos.find_faces, largest=DETECTION_SIDE)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(video.opened(args.video))
        output = Output(args.out, argv=argv, models=args.model)
        path = stack.enter_context(storage.atomic_write(output.folder / "annotated.mp4"))
        stopped = stack.enter_context(cli.soft_stop())
        footage = _watch(args, source, find, video.Writer(path, source.rate), stopped)
        output.file("annotated.mp4")
    output.show("video", timeline, footage)
    output.show("moments", moments, footage)
    for track in footage.tracks:
        for code, moment in sorted(track.moments.items()):
            name = f"moments/face_{track.number}_{CLASS_NAMES[code]}_{moment.seconds:.1f}s.png"
            with storage.atomic_write(output.file(name)) as temporary:
                Image.fromarray(moment.crop).save(temporary, format="PNG")
    if source.failed:
        output.say(f"{source.name} ended early: part of it cannot be read.")
    if stopped() and not source.camera:
        output.say(f"Stopped after {footage.seconds:.1f} s; what comes later was not looked at.")
    output.finish(_following(args))
    if stopped() and not source.camera:
        raise KeyboardInterrupt


def _watch(args, source, find, writer, stopped):
    """Return the `Footage` of a video, and write it with its faces marked.

    Raises:
        ValueError: no face was found for long enough.
    """
    patience = max(tracks.PATIENCE, 2 * args.every / source.rate)
    tracker = tracks.Tracker(smoothing=args.smoothing, patience=patience)
    models, shown, seconds = _Models(args, FACES_AT_ONCE), [], 0.0
    if source.camera:  # whose time runs while models are loaded
        models.answers(np.zeros((1, *IMAGE_SHAPE), np.uint8))
    frames = tqdm(source.frames(), total=source.count, desc="frames", unit=" frames", disable=None)
    with contextlib.closing(writer), contextlib.closing(frames):
        for number, (seconds, colours) in enumerate(frames):
            if number % args.every == 0:
                found = find(colours)
                answers = models.answers(photos.cut_faces(colours, found))
                shown = tracker.update(seconds, colours, found, answers)
            writer.add(seconds, annotated.draw(colours, shown))
            if stopped():
                break
    if not tracker.counted():
        raise ValueError(
            f"{source.name}: expected a face in at least {tracks.SEEN} frames, found none in "
            f"{number + 1:,} frames (faces must be upright and seen from the front; --whole-image "
            "takes the middle of each frame)"
        )
    name = f"camera {source.name}" if source.camera else Path(source.name).name
    return tracks.Footage(
        name=name,
        model=records.display_name(args.model),
        seconds=seconds,
        tracks=tracker.counted(),
        smoothing=args.smoothing,
        gap=patience,
    )


def _following(args):
    """Return what to do next with the same models, nothing where no image is left to score one."""
    if not all(map(records.is_scored, args.model)):
        return ""
    command = provenance.continued("confusion.py", args.model, args.data)
    return f"See how far to trust it: {command}"
