"""Weights of samples and of classes: what they do to the loss and to its gradient."""

import numpy as np
import pytest

import convkit as ck
from convkit import layers, losses
from convkit.ops.registry import Spec
from convkit.program import compile_program
from models.conftest import blobs

SGD = ck.optimizers.SGD

# Losses of three outputs, with the activation of the last layer and whether labels are integers.
CASES = {
    "sparse_categorical_crossentropy": ("softmax", True),
    "categorical_crossentropy": ("softmax", False),
    "binary_crossentropy": ("sigmoid", False),
    "sparse_categorical_focal_crossentropy": ("softmax", True),
    "binary_focal_crossentropy": ("sigmoid", False),
    "mse": (None, False),
    "sse": (None, False),
    "mae": (None, False),
    "huber": (None, False),
    "log_cosh": (None, False),
    "poisson": ("softplus", False),
    "kld": ("softmax", False),
    "hinge": (None, False),
    "categorical_hinge": (None, False),
    "cosine_similarity": (None, False),
    "rmse": (None, False),
}


def trained(loss, last, x, y, weight=None, **options):
    """Loss of a fresh model, and its weights after one step of plain descent."""
    ck.random.set_seed(3)
    model = ck.Sequential([ck.Input((4,)), layers.Dense(5, "tanh"), layers.Dense(3, last)])
    model.compile(SGD(0.1), loss)
    value = model.train_on_batch(x, y, sample_weight=weight, **options)
    return value, model.get_weights()


@pytest.mark.parametrize("name", CASES)
def test_integer_weights_are_repeated_samples(name):
    """Up to the normalisation: weighted losses are divided by the rows, not by the weights."""
    last, sparse = CASES[name]
    x, y = blobs(12)
    y = y if sparse else np.eye(3)[y]
    weight = np.array([0, 1, 2, 3] * (len(x) // 4) + [1] * (len(x) % 4))
    repeated = np.repeat(np.arange(len(x)), weight)
    share = weight.sum() / len(x)
    if name in ("sse", "rmse"):
        share = 1.0 if name == "sse" else np.sqrt(share)
    loss = losses.get(name)
    value, weights = trained(loss, last, x, y, weight)
    plain, wanted = trained(loss, last, x[repeated], y[repeated])
    _, start = trained(loss, last, x, y, np.zeros(len(x)))
    assert value == pytest.approx(share * plain, rel=1e-5)
    for w, v, before in zip(weights, wanted, start, strict=True):
        assert np.abs(v - before).max() > 1e-4
        np.testing.assert_allclose(w - before, share * (v - before), rtol=2e-3, atol=1e-6)


def test_class_weights_are_sample_weights():
    x, y = blobs(12)
    table = {0: 2.0, 2: 0.5}
    weight = np.array([2.0, 1.0, 0.5])[y]
    for name in ("sparse_categorical_crossentropy", "categorical_crossentropy", "mse", "hinge"):
        targets = y if name.startswith("sparse") else np.eye(3)[y]
        last = "softmax" if "cross" in name else None
        a = trained(name, last, x, targets, class_weight=table)
        b = trained(name, last, x, targets, weight)
        assert a[0] == b[0]
        for v, w in zip(a[1], b[1], strict=True):
            np.testing.assert_array_equal(v, w)


def column(loss, y, **options):
    """Loss of a model with one output that is 0.5 everywhere."""
    model = ck.Sequential([ck.Input((2,)), layers.Dense(1, "sigmoid", use_bias=False)])
    model.compile(SGD(0.0), loss)
    return model.train_on_batch(np.zeros((len(y), 2)), y, **options)


def test_class_weights_of_one_output():
    y, table = np.array([0, 1, 1, 0, 1]), {0: 1.0, 1: 3.0}
    got = column("binary_crossentropy", y, class_weight=table)
    assert got == pytest.approx(np.log(2) * 11 / 5, rel=1e-6)
    assert column("mse", y, class_weight=table) == pytest.approx(11 / 20, rel=1e-6)
    hinges = [column("hinge", t, class_weight=table) for t in (y, 2 * y - 1)]
    assert hinges == pytest.approx([(2 * 1.5 + 9 * 0.5) / 5] * 2, rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "y", "row"),
    [
        ("binary_crossentropy", [[1, 0, 1], [0, 1, 0]], r"\[1. 0. 1.\] at index 0"),
        ("binary_crossentropy", [[0, 1, 0], [0, 0, 0]], r"\[0. 0. 0.\] at index 1"),
        ("mse", [[0.5, 1.5, 2.5], [0, 1, 0]], r"\[0.5 1.5 2.5\] at index 0"),
    ],
)
def test_class_weights_need_one_class_in_a_row(loss, y, row):
    x = np.zeros((2, 4))
    with pytest.raises(ValueError, match=f"class_weight needs one class .* got {row}"):
        trained(loss, "sigmoid", x, np.array(y), class_weight={1: 2.0})


def test_class_weights_of_numbers_are_refused():
    with pytest.raises(ValueError, match=r"class_weight needs one class .* got \[0.3\] at index 1"):
        column("mse", np.array([0.0, 0.3]), class_weight={1: 2.0})


def test_a_distribution_has_the_class_of_its_largest_entry():
    """As in Keras."""
    x, y = np.zeros((2, 4)), np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    plain = trained("categorical_crossentropy", "softmax", x, y)[0]
    got = trained("categorical_crossentropy", "softmax", x, y, class_weight={0: 3.0, 2: 0.0})[0]
    assert got == pytest.approx(plain * 1.5, rel=1e-6)


@pytest.mark.parametrize("weight", [None, "samples", "rows"])
@pytest.mark.parametrize("name", ["mse", "binary_crossentropy", "rmse"])
def test_masks_of_maps_over_time(name, weight):
    """Steps of a TimeDistributed convolution that are left out count nothing."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 5, 5, 1)).astype(np.float32)
    x[0, 2:] = x[2, 3] = 0
    counts = x.reshape(3, 4, -1).any(axis=2)
    model = ck.Sequential(
        [
            ck.Input((4, 5, 5, 1)),
            layers.Masking(0.0),
            layers.TimeDistributed(layers.Conv2D(2, 3, activation="sigmoid")),
        ]
    )
    model.compile(SGD(0.1), name, metrics=["mae"] if "mae" in ck.metrics.names.NAMES else [])
    y = rng.integers(0, 2, (3, 4, 3, 3, 2)).astype(np.float32)
    own = {None: None, "samples": rng.random(3), "rows": rng.random((3, 4, 3, 3))}[weight]
    p = model.predict(x, verbose=0)
    rows = np.broadcast_to(counts[:, :, None, None], (3, 4, 3, 3))
    factor = 1.0 if own is None else own.reshape(*own.shape, *(1,) * (4 - own.ndim))
    factor = np.where(rows, factor, 0.0) * rows.size / rows.sum()
    wanted = losses.get(name)(y, p.astype(float), sample_weight=factor)
    got = model.evaluate(x, y, sample_weight=own, verbose=0)
    got = got[0] if isinstance(got, list) else got
    assert got == pytest.approx(wanted, rel=1e-5)
    before = model.get_weights()
    model.train_on_batch(x, y, sample_weight=own)
    y[~counts] = 1 - y[~counts]  # what is left out has no gradient either
    after = model.get_weights()
    model.set_weights(before)
    model.train_on_batch(x, y, sample_weight=own)
    for v, w, start in zip(after, model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(v, w)
        assert (v != start).any()


def test_a_batch_of_masked_steps_only():
    model = ck.Sequential([ck.Input((3, 2)), layers.Masking(0.0), layers.SimpleRNN(
        4, return_sequences=True), layers.Dense(1)])  # fmt: skip
    for name in ("rmse", "huber", "cosine_similarity", "log_cosh"):
        model.compile(SGD(0.1), name)
        before = model.get_weights()
        value = model.train_on_batch(np.zeros((2, 3, 2)), np.ones((2, 3, 1)))
        assert value == 0
        for v, w in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(v, w)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [(losses.Huber(), [1 / 8, 1 / 32]), (losses.SumSquaredError(), [1.0, 1.0])],
)
def test_gradients_of_parts_of_the_data_add_up(loss, wanted):
    """Those of means by the parts' shares, those of sums as they are."""
    model = ck.Sequential([ck.Input((4,)), layers.Dense(3)])
    model.build()
    scales = []
    for share in (1.0, 0.25):
        program = compile_program(
            model, "train", 8, inputs=[Spec((4,))], target=Spec((3,)), loss=loss, share=share
        )
        (made,) = (i for i in program.instructions if i.op == "loss")
        scales.append(made.params["scale"])
    assert scales == wanted
