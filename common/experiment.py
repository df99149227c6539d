"""One training experiment from data to submission: what the training scripts have in common."""



from common import data, models, runs, training


def load_data(args):
    """Return (faces, split) for the flags of a training script, saying what was found."""
    faces = data.load(args.data)
    for sentence in data.describe(faces):
        print(sentence)
    size = args.validation or data.default_validation_size(len(faces.train_labels))
    return faces, data.split(faces, seed=args.split_seed, validation=size)


def train(args, architecture):
    """Train a network as `args` says and write everything that its run folder holds.

    Args:
        args: the flags of `cli.add_training`, data, out and seed.
        architecture: a name that `models.build` knows.
    """
    faces, split = load_data(args)
    config = runs.begin(args, architecture=architecture, data_hash=faces.data_hash)
    data.save_split(args.out / "split.npz", split)
    strategy, hardware = training.prepare(seed=args.seed, precision=args.precision)
    rows = split.train_rows
    labels = faces.train_labels
    print(
        f"training the {architecture.upper()} on {len(rows):,} rows, {len(split.validation_rows):,} "
        f"held out; {hardware}"
    )
    history = training.fit(
        args.out,
        architecture,
        (
            faces.train_images[rows],
            training.soft_labels(labels[rows]),
            training.row_weights(labels[rows], args.class_weight),
        ),
        (faces.train_images[split.validation_rows], labels[split.validation_rows]),
        recipe=training.custom_recipe(
            args.recipe,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            label_smoothing=args.label_smoothing,
        ),
        epochs=args.epochs,
        batch_size=args.batch_size,
        augmentation=args.augmentation,
        seed=args.seed,
        strategy=strategy,
        initial_weights=(
            models.load(args.initial_weights)[0].get_weights() if args.initial_weights else None
        ),
        tensorboard=args.tensorboard,
    )
