"""What the page of the report shows, part by part, and the numbers that the report published."""

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
MODELS = {  # key -> name, script that trains it
    "cnn": ("CNN", "train_cnn.py"),
    "dnn": ("DNN", "train_dnn.py"),
    "semi_supervised": ("semi-supervised CNN", "semi_supervised.py"),
}
ARCHITECTURES = {"cnn": "cnn", "dnn": "dnn", "semi_supervised": "cnn"}

TITLE = "Facial expressions on FER-2013: the report of 2017, done again"
INTRODUCTION = [
    "Every figure, table and number below comes from the files of finished runs, and under each "
    "figure stands what made it. The report's own numbers are named as such.",
    "The scores are not of the same images: the report's are Kaggle's, on the public half of the "
    "test images; ours are on training images that were held out. Those chose the epoch that is "
    "kept, as they did in the report, which flatters ours a little.",
]
PARTS = (  # title, introduction, what follows it as (kind, name)
    (
        "The CNN",
        "Six convolutions of 3x3 in three pairs, then two dense layers; LeakyReLU and batch "
        "normalisation after each. The report held out 3,000 random rows, flipped the others at "
        "random and shifted them by up to 0.1, and kept the best of up to 80 epochs in batches of "
        "64.",
        (("run", "cnn"), ("layers", "cnn")),
    ),
    (
        "The DNN, and the two compared",
        "Nine dense layers with as many parameters as the CNN, trained in the same way. A "
        "convolution uses the same few weights everywhere, so what it learned of a mouth holds "
        "wherever the mouth is. The DNN must learn each place anew: it has as many parameters, but "
        "can share none of what they know between places.",
        (("run", "dnn"), ("comparison", "dnn"), ("layers", "dnn")),
    ),
    (
        "Confusion matrix",
        "What the CNN takes for what on its held-out rows. In the report happy and surprise were "
        "recognised best, disgust, fear and sad worst; the first table sets its fractions beside "
        "ours. Compatible means that the 95 % interval of ours reaches the report's.",
        (("stage", "confusion"),),
    ),
    (
        "Saliency maps",
        "What drives the decisions on held-out images 0 to 4. The report saw mouth and eyes, and a "
        "hand over a mouth that hid it from the map. Here maps are also put to the test, as a map "
        "can look convincing without depending on what the model learned.",
        (("stage", "saliency"),),
    ),
    (
        "Filters, with bonus 2.1 and 2.2",
        "Gradient ascent from white noise shows what a filter looks for (the report: cloudy dots "
        "in the first layer, textures in the second); its output on a face shows what it finds. "
        "Bonus 2.2 does the same for whole expressions, bonus 2.1 asks the semi-supervised CNN.",
        (("stage", "filter_vis"), ("stage", "filter_vis_semi_supervised")),
    ),
    (
        "Semi-supervised learning",
        "The labels of some training rows are removed, a teacher labels them, and a second CNN "
        "learns from both. The report removed 10 % and let the CNN of part 1 be the teacher, which "
        "most likely had seen the removed labels; ours never has.",
        (("run", "semi_supervised"), ("results", "self_training")),
    ),
    (
        "Adversarial images (bonus 2.3)",
        "The report left this section blank. A change that is too small to see, made for the "
        "purpose, turns one expression into another.",
        (("stage", "adversarial"),),
    ),
    (
        "Past the report",
        "A network with a third of the CNN's multiplications, trained with several seeds, averages "
        "of networks, and averages over shifted and mirrored views of each image. In the figure, "
        "how long it takes until a given accuracy, against the report's own network and recipe.",
        (("results", "accuracy_"),),
    ),
    (
        "The data",
        "How far any score can be trusted depends on the labels, on images that stand both among "
        "the training and the test rows, and on how rare a class is.",
        (("results", "data_"),),
    ),
    (
        "Speed",
        "Each table sets ours beside the obvious alternative, measured in one run on one machine.",
        (("results", "benchmark_"),),
    ),
    (
        "How each thing was made",
        "The runs were trained, and the figures drawn, by these commands on these machines.",
        (("records", ""),),
    ),
)
OVERVIEW = (  # rows of the sheet that shows the most in one picture: run or stage, file
    (("cnn", "curves.png"), ("confusion", "confusion.png")),
    (("adversarial", "robustness.png"), ("filter_vis", "ascent_conv2d_1_*.png")),
)
RESULTS = {  # start of the files' names -> what they are, commands that make them
    "accuracy_": (
        "results/accuracy_*.csv",
        ["python -m benchmarks.scores", "python -m benchmarks.time_to_accuracy"],
    ),
    "data_": (
        "results/data_*.csv and results/data_notes.txt",
        ["python -m benchmarks.honest_data"],
    ),
    "benchmark_": ("results/benchmark_*.csv", ["python -m benchmarks.training"]),
    "self_training": (
        "self-training with several shares of labels and seeds",
        ["python -m benchmarks.self_training --data data/fer2013"],
    ),
}

MADE = "made.json"  # in results/: what made each file there
MEASURED = {  # name of a file in results/, without its end -> title
    "accuracy_by_minutes": "Minutes of training until a validation accuracy",
    "accuracy_networks": "Networks alone and averaged, over one view and more",
    "benchmark_ascent": "Gradient ascent",
    "benchmark_attacks": "Attacks by projected gradient descent",
    "benchmark_attribution": "SmoothGrad",
    "benchmark_loading": "Loading the data",
    "benchmark_prediction": "Prediction",
    "benchmark_startup": "Answering --help",
    "benchmark_training": "Training the CNN",
    "data_classes": "Each class: how frequent it is, and recognised where the row was never seen",
    "data_noise": "Labels that such networks doubt with confidence: for which other class",
    "data_remembered": "Rows whose image stands there again, asked of trained networks",
    "data_twins": "Rows whose image stands there again: right with and without having seen it",
    "self_training_dnn": "Self-training of the DNN by share of removed labels and seed",
}

_ASCENT = "Each picture grew from white noise; below it the filter's number and its final loss."
_OUTPUTS = "One tile a filter, for one held-out image; red is above zero, blue below."
_FILTERS = (
    ("ascent_conv2d_1_*.png", "What excites the filters of the first convolution", _ASCENT),
    ("ascent_conv2d_2_*.png", "What excites the filters of the second convolution", _ASCENT),
    ("outputs_conv2d_2_*.png", "What the second convolution puts out", _OUTPUTS),
    ("outputs_conv2d_3_*.png", "What the third convolution puts out", _OUTPUTS),
    (
        "classes.png",
        "The image that excites each expression most (bonus 2.2)",
        "Ascent on the logits, each row from another noise.",
    ),
)
BEGINNINGS = {  # flag of a run with the names of other runs -> what it means for this one
    "initial_weights": "It began with the weights of {} as that was then, not with random ones.",
    "teacher": "It learned from the answers of {} as those were then, beside the labels.",
}
_CURVES = "The dotted line marks the epoch that is kept."
FIGURES = {  # of a run or stage: pattern of the file's name, title, how to read it
    "cnn": (("curves.png", "Loss and accuracy of the CNN by epoch", _CURVES),),
    "dnn": (("curves.png", "Loss and accuracy of the DNN by epoch", _CURVES),),
    "semi_supervised": (
        ("curves.png", "Loss and accuracy of the semi-supervised CNN by epoch", _CURVES),
        ("ledger.png", "Pseudo-labels of each class", "How many there are, and how many right."),
        (
            "comparison.png",
            "What self-training adds",
            "The student beside its teacher, which had the remaining labels alone.",
        ),
    ),
    "confusion": (
        ("confusion.png", "Confusion matrix", "Row: the true expression; column: the predicted."),
        (
            "calibration.png",
            "How far to trust the confidence",
            "On the diagonal a confidence is right just as often as it says.",
        ),
        ("mistakes.png", "The most confident mistakes", "Above each face: true → predicted."),
        ("typical.png", "The faces recognised with the highest confidence", "Class by class."),
    ),
    "saliency": (
        (
            "saliency.png",
            "Saliency maps",
            "The face, what drives the decision, and the face with all else masked.",
        ),
        (
            "faithfulness.png",
            "How far to believe the maps",
            "The confidence while pixels are removed or shown in the order of the map, and whether "
            "the map changes when the weights are randomised.",
        ),
        ("mean_map.png", "Where the model looks for each expression", "Means over many faces."),
    ),
    "filter_vis": _FILTERS,
    "filter_vis_semi_supervised": tuple(
        (pattern, f"{title}, semi-supervised (bonus 2.1)", text)
        for pattern, title, text in _FILTERS
    ),
    "adversarial": (
        (
            "examples.png",
            "Original, magnified change and attacked face",
            "Above each face what the model reads, and how confidently.",
        ),
        ("targets.png", "Any expression into any other", "Row: the face; column: the target."),
        (
            "robustness.png",
            "Accuracy against the size of the change",
            "Random noise of the same size stands beside the attacks.",
        ),
    ),
}
NEED_DATA = ("mistakes.png", "typical.png")  # left out by confusion.py where there are none
TABLES = {  # of a run or stage: file, title, columns (all if none are named)
    "semi_supervised": (
        ("comparison.csv", "The student beside its teacher", None),
        ("ledger.csv", "Pseudo-labels, and how many of them were right", None),
    ),
    "confusion": (
        (
            "report_comparison.csv",
            "The report's fractions beside ours",
            ("true", "predicted", "report", "here", "95 % low", "95 % high", "compatible"),
        ),
        ("scores.csv", "Each expression", None),
        ("summary.csv", "All rows together", None),
    ),
    "saliency": (("faithfulness.csv", "How faithful each map is", None),),
    "adversarial": (
        ("examples.csv", "The attacked faces", None),
        ("smallest.csv", "The smallest change that is enough, grey levels of 255", None),
    ),
}
SENTENCES = {"semi_supervised": "comparison.txt"}  # file in a run folder
SIDE_BY_SIDE = "Bars of accuracy have 95 % intervals; both are measured on the same rows."
