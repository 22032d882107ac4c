"""Small data and models that train in milliseconds."""

import signal

import numpy as np
import pytest

import convkit as ck
from convkit import random as ck_random
from convkit.models.data import check_samples
from convkit.models.feeds import ArrayFeed
from convkit.models.objective import DataObjective


@pytest.fixture(autouse=True)
def seeded():
    before = ck_random._seed, ck.get_num_threads()
    ck.set_seed(7)
    yield
    ck_random._seed = before[0]
    ck.set_num_threads(before[1])


def blobs(n=100, features=4, classes=3, seed=0):
    """Labels 0, 1, 2, ... and points around one centre for each."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    centres = 2 * np.random.default_rng(99).standard_normal((classes, features))
    x = centres[y] + 0.3 * rng.standard_normal((n, features))
    return x.astype(np.float32), y


def classifier(features=4, classes=3, hidden=8, loss="sparse_categorical_crossentropy", **options):
    model = ck.Sequential(
        [
            ck.Input((features,), name="points"),
            ck.layers.Dense(hidden, "tanh", name="hidden"),
            ck.layers.Dense(classes, "softmax", name="out"),
        ]
    )
    model.compile(**{"optimizer": "adam", "loss": loss, "metrics": ["accuracy"], **options})
    return model


def images(n=40, size=8, channels=1, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    return x, rng.integers(0, classes, n)


def convnet(size=8, channels=1, classes=4, dropout=0.25):
    model = ck.Sequential(
        [
            ck.Input((size, size, channels), name="pixels"),
            ck.layers.Rescaling(1 / 255),
            ck.layers.Conv2D(3, 3, activation="relu", name="conv"),
            ck.layers.MaxPooling2D(2),
            ck.layers.Dropout(dropout),
            ck.layers.Flatten(),
            ck.layers.Dense(classes, "softmax", name="out"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def two_layers(optimizer, **options):
    """A compiled network of two layers with its data."""
    ck.set_seed(3)
    x, y = blobs()
    model = ck.Sequential(
        [
            ck.Input((4,)),
            ck.layers.Dense(8, "tanh", name="first", **options),
            ck.layers.Dense(3, name="second"),
        ]
    )
    model.compile(optimizer, "mse")
    return model, x, np.eye(3, dtype=np.float32)[y]


def objective_of(model, x, y, batch=256, weight=None, dtype="float64"):
    """The loss over a data set as a function of the weights, as fit makes it."""
    compiled = model._require_compiled("fit")
    loop = model._prepare("fit", x, compiled)
    samples = check_samples("fit", model, x, y, weight, None, compiled.loss)
    objective = DataObjective(loop, ArrayFeed(samples, batch), compiled, dtype)
    objective.begin(0)
    return objective


def regressor(optimizer, hidden=5, features=4, **options):
    model = ck.Sequential(
        [ck.Input((features,)), ck.layers.Dense(hidden, "tanh"), ck.layers.Dense(2)]
    )
    model.compile(optimizer, "mse", **options)
    return model


def waves(n=60, seed=0, features=4):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, features)).astype(np.float32)
    return x, np.stack([np.sin(x[:, 0] * x[:, 1]), x[:, 2] - x[:, 3]], 1).astype(np.float32)


def flat(model):
    return np.concatenate([w.ravel() for w in model.get_weights()])


@pytest.fixture(autouse=True)
def interruptible():
    """SIGINT raises KeyboardInterrupt, also in a shell's background jobs, which ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
