"""Export a trained model: as ONNX, as LiteRT, and as a page that labels pictures in a browser.

    python export.py
    python export.py --model outputs/train_cnn --format onnx litert

Reads:  a run folder.
Writes: to --out: model.onnx and model.tflite, which take float32 (n, 48, 48, 1), grey levels over
        255, and give the seven probabilities in the order of common/labels.py; demo.html, one file
        of 5 to 8 MB that holds network and weights, opens with a double click, and labels a
        dropped, pasted or chosen picture or the camera's, with a map of what the decision rests on;
        it needs no network and sends nothing. Besides, what was printed (observations.txt) and what
        made all this (manifest.json).
Takes:  half a minute on 2 cores.

ONNX needs tf2onnx: pip install -e ".[export]" in the project's folder. Without it that file is
left out, unless --format asks for it. Each file is compared with Keras on synthetic faces where a
runtime is installed (onnxruntime; TensorFlow brings that of LiteRT). In the page weights have 24
bits, and probabilities are Keras' to 1e-4 or better.
"""

from common import cli
from common.labels import CLASS_NAMES, NUM_CLASSES
from common.outputs import Output

FILES = {"onnx": "model.onnx", "litert": "model.tflite", "demo": "demo.html"}
FACES = 70  # synthetic ones, on which files are compared with Keras


def build_parser():
    """Return the flags of this script."""
    options = cli.parser(__doc__)
    cli.add_model(options, default="pretrained/ensemble/compact_0")
    cli.add_out(options, __file__)
    options.add_argument(
        "--format",
        metavar="NAME",
        choices=tuple(FILES),
        nargs="+",
        help=f"of {' '.join(FILES)} (default: all that can be written)",
    )
    return options


def main(argv=None):
    """Write the files, and compare them with Keras."""
    args = build_parser().parse_args(argv)
    from common.export import files

    forms = list(dict.fromkeys(args.format or FILES))
    for form in set(forms) & set(args.format or ()):
        if files.missing(form):
            raise ValueError(f"--format {form} {files.missing(form)}")
    import numpy as np

    from common.data import pixels, synthetic
    from common.export import demo
    from common.models import checkpoints
    from common.runs import records

    run = records.read(args.model)
    model, _ = checkpoints.load(args.model)
    output = Output(args.out, argv=argv, models=[args.model])
    labels = np.arange(FACES) % NUM_CLASSES
    faces = pixels.to_inputs(synthetic.draw_faces(labels, rng=np.random.default_rng(0)))
    expected = model.predict(faces, verbose=0)
    for form in forms:
        if files.missing(form):
            output.miss(FILES[form], form.upper(), f"It {files.missing(form)}.")
            continue
        path = output.file(FILES[form])
        if form == "demo":
            size = demo.write(path, model, run)
            output.say(f"{path.name}: {size / 1e6:.1f} MB, opens in a browser.")
        else:
            files.write(model, path, form)
            output.say(files.comparison(path, form, faces, expected))
    if set(forms) - {"demo"}:
        output.say(f"Probabilities are those of {', '.join(CLASS_NAMES)}, in this order.")
    output.finish(f"Open it: {args.out / FILES['demo']}" if "demo" in forms else "")


if __name__ == "__main__":
    cli.run(main)
