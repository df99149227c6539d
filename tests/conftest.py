"""Small data and small runs that several test modules share."""

import signal

import numpy as np
import pytest

from common.data import synthetic

TRAIN_ROWS, TEST_ROWS = 210, 20


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """Let scripts be interrupted also where a shell ignores it, as for jobs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """A folder with 210 labelled and 20 unlabelled synthetic faces in the homework's layout."""
    folder = tmp_path_factory.mktemp("data")
    labels = np.arange(TRAIN_ROWS) % 7
    images = synthetic.draw_faces(labels, rng=np.random.default_rng(1))
    unknown = synthetic.draw_faces(np.arange(TEST_ROWS) % 7, rng=np.random.default_rng(2))
    _write(folder / "train.csv", "label", labels, images)
    _write(folder / "test.csv", "id", range(TEST_ROWS), unknown)
    return folder


@pytest.fixture(scope="session")
def trained_run(small_data, tmp_path_factory):
    """The run folder of a DNN trained for two epochs on `small_data`."""
    import train_dnn

    folder = tmp_path_factory.mktemp("runs") / "dnn"
    train_dnn.main(["--data", str(small_data), "--epochs", "2", "--out", str(folder)])
    return folder


def _write(path, first, values, images):
    rows = (
        f"{value},{' '.join(map(str, image.ravel()))}\n"
        for value, image in zip(values, images, strict=True)
    )
    path.write_text(f"{first},feature\n" + "".join(rows), encoding="ascii")
