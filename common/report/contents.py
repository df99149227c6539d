"""What the page of the report shows, part by part, and the numbers that the report published.

Titles and captions of figures and tables stand in the manifests of the scripts that made them.
"""

from dataclasses import dataclass

PUBLISHED = {  # what it says of its confusion matrix is in comparison.REPORT
    "cnn": {
        "score": "0.69407",
        "kept": "67 of 80",
        "seconds": "about 600",
        "parameters": "1,985,607",
    },
    "dnn": {"score": "0.41794", "seconds": "about 20", "parameters": "1,996,167"},
    "semi_supervised": {"score": "lost"},
}


@dataclass(frozen=True)
class Network:
    """A network that the page is about."""

    name: str
    architecture: str
    training: str  # script and flags; {KEY} stands for the run of another network
    run: str  # of the project, unless another is named


ATTACK = "pgd"  # under which all networks are compared
COMPACT = "train_cnn.py --architecture compact --batch-size 128"
MODELS = {
    "cnn": Network("CNN", "cnn", "train_cnn.py", "pretrained/cnn"),
    "dnn": Network("DNN", "dnn", "train_dnn.py", "pretrained/dnn"),
    "semi_supervised": Network(
        "semi-supervised CNN",
        "cnn",
        "semi_supervised.py --ceiling {cnn}",
        "pretrained/semi_supervised",
    ),
    "compact": Network(
        "compact CNN",
        "compact",
        f"{COMPACT} --augmentation strong --learning-rate 0.1 --epochs 60",
        "pretrained/ensemble/compact_0",
    ),
    "robust": Network(
        "robust compact CNN",
        "compact",
        f"{COMPACT} --learning-rate 0.03 --epochs 12 --initial-weights {{compact}} "
        "--adversarial-training 2",
        "pretrained/robust",
    ),
}
_MAPS = "--method gradient --no-check --mean-map none --covered 0"
STAGES = {  # what looks into the runs, in the report's order
    "confusion": "confusion.py --model {cnn}",
    "saliency": "saliency.py --model {cnn}",
    "filter_vis": "filter_vis.py --model {cnn} --part ascent outputs classes",
    "filter_vis_semi_supervised": "filter_vis.py --model {semi_supervised} "
    "--part ascent outputs classes",
    "adversarial": "adversarial.py --model {cnn}",
    **{
        f"adversarial_{key}": f"adversarial.py --model {{{key}}} --figures robustness "
        f"--attack {ATTACK}"
        for key in MODELS
        if key != "cnn"
    },
    "saliency_compact": f"saliency.py --model {{compact}} {_MAPS}",
    "saliency_robust": f"saliency.py --model {{robust}} {_MAPS}",
    "classes_compact": "filter_vis.py --model {compact} --part classes",
    "classes_robust": "filter_vis.py --model {robust} --part classes",
}


@dataclass(frozen=True)
class Section:
    """One piece of a part of the page, made by the function of `sections` for its kind."""

    kind: str  # "run", "comparison", "together", "stage", "results" or "records"
    # Of the run or stage, of what networks are compared by, or a pattern for names of manifests in
    # results/.
    name: str = ""
    beside: str = "cnn"  # run that a comparison sets the other against
    suffix: str = ""  # to every title
    left_out: tuple[str, ...] = ()  # outputs that stand elsewhere on the page
    commands: tuple[str, ...] = ()  # that make what is in results/


TITLE = "Facial expressions on FER-2013: the report of 2017, done again"
INTRODUCTION = (
    "Every figure, table and number below comes from the files of finished runs, and under each "
    "figure stands the command that made it. The numbers of the report itself (ML2017 homework 3, "
    "April 2017) are named as such.",
    "The scores are not of the same images: the report's are Kaggle's, on the public half of the "
    "test images; ours are on training images that were held out. Those chose the epoch that is "
    "kept, as they did in the report, which flatters ours a little.",
)
PARTS = (  # title, introduction, sections
    (
        "The CNN",
        "Six convolutions of 3x3 in three pairs, then two dense layers; LeakyReLU and batch "
        "normalisation after each. The report held out 3,000 random images, flipped the others at "
        "random and shifted them by up to 0.1, and kept the best of up to 80 epochs in batches of "
        "64.",
        (Section("run", "cnn"),),
    ),
    (
        "The DNN, and the two compared",
        "Nine dense layers with as many parameters as the CNN, in the report trained in the same "
        "way. A convolution uses the same few weights everywhere, so what it learned of a mouth "
        "holds wherever the mouth is. The DNN must learn each place anew: it has as many "
        "parameters, but can share none of what they know between places.",
        (Section("run", "dnn", left_out=("comparison",)), Section("comparison", "dnn")),
    ),
    (
        "Confusion matrix",
        "Which expressions the CNN confuses on its held-out images. In the report happy and "
        "surprise were recognised best, disgust, fear and sad worst; the first table sets its "
        "fractions beside ours. Compatible means that the 95 % interval of ours includes the "
        "report's.",
        (Section("stage", "confusion"), Section("together", "confusion")),
    ),
    (
        "Saliency maps",
        "What drives the decisions on held-out images 0 to 4. The report saw mouth and eyes, and a "
        "hand over a mouth that hid it from the map. Here the maps are also put to the test, as a "
        "map can look convincing without depending on what the model learned. Method and smoothing "
        "were chosen by such a test, on 200 faces: the last table.",
        (
            Section("stage", "saliency"),
            Section(
                "results",
                "saliency_*",
                commands=("python -m experiments.saliency_methods --data data/fer2013 --half",),
            ),
        ),
    ),
    (
        "Filters, with bonus 2.1 and 2.2",
        "Gradient ascent from white noise shows what a filter looks for (the report: cloudy dots "
        "in the first layer, textures in the second); its output on a face shows what it finds. "
        "Bonus 2.2 does the same for whole expressions, bonus 2.1 asks the semi-supervised CNN.",
        (
            Section("stage", "filter_vis"),
            Section(
                "stage", "filter_vis_semi_supervised", suffix=", semi-supervised CNN (bonus 2.1)"
            ),
        ),
    ),
    (
        "Semi-supervised learning",
        "The labels of some training images are removed, a teacher labels them, and a second CNN "
        "learns from both. The report removed 10 % and let the CNN of part 1 be the teacher, which "
        "most likely had seen the removed labels; ours never has.",
        (
            Section("run", "semi_supervised", left_out=("layers",)),
            Section(
                "results",
                "self_training_*",
                commands=("python -m experiments.self_training --data data/fer2013",),
            ),
        ),
    ),
    (
        "Adversarial images (bonus 2.3)",
        "The report left this section blank. A change that is too small to see, made for the "
        "purpose, turns one expression into another.",
        (Section("stage", "adversarial"), Section("together", "robustness")),
    ),
    (
        "A network that withstands",
        "Adversarial training shows a network, instead of each training image, the worst that one "
        "step of the gradient makes of it within two grey levels. It is said to cost some accuracy "
        "on clean images, to buy a network that a change too small to see fools less often, and to "
        "change what it looks at: see whether its gradient follows eyes and mouth, where that of "
        "the network that it began with strays over the face.",
        (
            Section("comparison", "robust", beside="compact"),
            Section("stage", "saliency_compact", suffix=", compact CNN"),
            Section("stage", "saliency_robust", suffix=", robust compact CNN"),
            Section("stage", "classes_compact", suffix=", compact CNN"),
            Section("stage", "classes_robust", suffix=", robust compact CNN"),
        ),
    ),
    (
        "Past the report",
        "A network with a third of the CNN's multiplications, trained with several seeds, averages "
        "of networks, and averages over shifted and mirrored views of each image. In the figure, "
        "how long it takes to reach a given accuracy, against the report's own network and recipe.",
        (
            Section(
                "results",
                "accuracy_*",
                commands=(
                    "python -m experiments.scores",
                    "python -m experiments.time_to_accuracy",
                ),
            ),
        ),
    ),
    (
        "The data",
        "How far any score can be trusted depends on the labels, on images that stand both among "
        "the training and the test images, and on how rare a class is.",
        (Section("results", "data_*", commands=("python -m experiments.honest_data",)),),
    ),
    (
        "Speed",
        "Each table sets ours beside the obvious alternative, measured in one run on one machine.",
        (Section("results", "benchmark_*", commands=("python -m benchmarks.training",)),),
    ),
    (
        "Faults",
        "Trainings are killed at random moments or run out of disk space, then go on, and must end "
        "with the same bytes as without a break; data files and the records of runs are changed at "
        "random, and must be read as they were or refused in one line that names the file.",
        (Section("results", "faults", commands=("python -m experiments.faults",)),),
    ),
    (
        "How each thing was made",
        "The runs were trained, and the figures drawn, by these commands on these machines.",
        (Section("records"),),
    ),
)
OVERVIEW = (  # rows of the sheet that shows the most in one picture: run or stage, start of a name
    (("saliency", "saliency"), ("classes_robust", "classes")),
    (("adversarial", "targets"), ("confusion", "confusion")),
)
BEGINNINGS = {  # flag of a run with the names of other runs -> what it means for this one
    "initial_weights": "It began with the weights of {} as that was then, not with random ones.",
    "teacher": "It learned from the answers of {} as those were then, beside the labels.",
}
