"""The summary, against golden files; `python tests/models/test_summary.py` writes them anew."""

import io
from pathlib import Path

import numpy as np
import pytest

import convkit as ck
from convkit import layers, models
from convkit.models.summary import lines, readable

GOLDEN = Path(__file__).parent / "golden"


def _tutorial():
    model = models.Sequential(name="tutorial")
    model.add(layers.Rescaling(1 / 255, input_shape=(28, 28, 1)))
    model.add(layers.Conv2D(32, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    model.layers[1].trainable = False
    return model


def _residual():
    x = ck.Input((8, 8, 4), name="image")
    h = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    h = layers.add([x, h])
    return ck.Model(x, layers.GlobalAveragePooling2D()(h), name="residual")


def _compiled():
    model = models.mlp([4, 3, 2], name="compiled")
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def _rbf_network():
    """As layers, to train centres and widths."""
    x = np.random.default_rng(0).random((20, 3))
    return models.RBFNetwork(5).fit(x, x[:, :2]).to_model(name="rbf_network")


MODELS = {
    "lenet5": models.lenet5,
    "caffe": lambda: models.lenet5("caffe"),
    "lenet5_1998": lambda: models.lenet5("1998"),
    "alexnet": models.alexnet,
    "alexnet_one_tower": lambda: models.alexnet("one-tower"),
    "alexnet_torchvision": lambda: models.alexnet("torchvision"),
    "alexnet_cifar": lambda: models.alexnet("cifar"),
    "vgg11": models.vgg11,
    "vgg13": models.vgg13,
    "vgg16": models.vgg16,
    "vgg19": models.vgg19,
    "vgg16_cifar": lambda: models.vgg16("cifar"),
    "mlp": models.mlp,
    "rnn_classifier": models.rnn_classifier,
    "char_rnn": models.char_rnn,
    "char_rnn_lstm": lambda: models.char_rnn(cell="lstm", units=256, layers=2),
    "forecaster": models.forecaster,
    "cnn_rnn": models.cnn_rnn,
    "rbf_network": _rbf_network,
    "tutorial": _tutorial,
    "residual": _residual,
    "compiled": _compiled,
    "unbuilt": lambda: ck.Sequential([layers.Dense(3), layers.ReLU()], name="unbuilt"),
}


def _text(name, **options):
    layers.reset_names()
    return "\n".join(lines(MODELS[name](), **options)) + "\n"


@pytest.mark.parametrize("name", MODELS)
def test_summary(name):
    assert _text(name) == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_ascii():
    assert _text("lenet5", ascii_only=True) == (GOLDEN / "lenet5_ascii.txt").read_text("ascii")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_the_output_decides_the_box(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    models.lenet5().summary()
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)
    golden = "lenet5" if encoding == "utf-8" else "lenet5_ascii"
    assert text == (GOLDEN / f"{golden}.txt").read_text(encoding="utf-8")


def test_print_fn_and_line_length():
    printed = []
    models.lenet5().summary(line_length=100, print_fn=printed.append)
    assert printed[0] == 'Model: "lenet5"'
    assert {len(line) for line in printed[1:13]} == {100}


def test_readable():
    assert [readable(n) for n in (0, 1023, 246_824, 2**21)] == [
        "0.00 B",
        "1023.00 B",
        "241.04 KB",
        "2.00 MB",
    ]


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in MODELS:
        (GOLDEN / f"{name}.txt").write_text(_text(name), encoding="utf-8")
    (GOLDEN / "lenet5_ascii.txt").write_text(_text("lenet5", ascii_only=True), encoding="ascii")
