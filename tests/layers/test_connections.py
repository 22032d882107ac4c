"""Conv2D with a table of connections: against the same convolution with zeros, and misuse."""

import numpy as np
import pytest

import convkit as ck
from convkit.layers import Conv2D

TABLE = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 1]], bool)


def model_with(table=TABLE, **options):
    layer = Conv2D(4, (3, 2), activation="tanh", connections=table, name="conv", **options)
    model = ck.Sequential(
        [ck.Input((6, 5, 3)), layer, ck.layers.Flatten(), ck.layers.Dense(2, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def full_kernel(compact, table):
    """The filters with zeros where the table has no connection, by a loop."""
    full = np.zeros((*compact.shape[:2], *table.shape), compact.dtype)
    m = 0
    for c in range(table.shape[0]):
        for k in range(table.shape[1]):
            if table[c, k]:
                full[:, :, c, k] = compact[:, :, m]
                m += 1
    assert m == compact.shape[2]
    return full


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_it_is_the_convolution_with_zeros(padding):
    model = model_with(padding=padding)
    kernel, bias = model.layers[0].get_weights()
    assert kernel.shape == (3, 2, 7)
    assert model.layers[0].count_params() == 7 * 6 + 4
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 3)).astype("f4")
    inner = ck.Model(model.inputs, model.calls[0].outputs[0])
    y = inner.predict(x, verbose=0)
    expected = ck.reference.conv2d(
        x, full_kernel(kernel, TABLE), bias, padding=padding, activation="tanh"
    )
    np.testing.assert_allclose(y, expected, atol=1e-6)


@pytest.mark.parametrize("use_bias", [True, False])
def test_gradients(use_bias):
    model = model_with(use_bias=use_bias)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 6, 5, 3)).astype("f4"), rng.integers(0, 2, 3)
    report = ck.testing.check_gradients(model, x, y, max_entries=50)
    assert report.passed, str(report)
    assert report.skipped == 0
    assert ck.testing.compare(model, x, y).agrees


def test_a_full_table_is_no_table():
    ck.set_seed(3)
    model = model_with(np.ones((3, 4)))
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 3)).astype("f4")
    plain = ck.Sequential(
        [
            ck.Input((6, 5, 3)), Conv2D(4, (3, 2), activation="tanh"), ck.layers.Flatten(),
            ck.layers.Dense(2, "softmax"),
        ]
    )  # fmt: skip
    kernel, *rest = model.get_weights()
    plain.set_weights([kernel.reshape(3, 2, 3, 4), *rest])
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_training_moves_the_connected_weights_alone():
    model = model_with()
    before = model.layers[0].get_weights()[0]
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((32, 6, 5, 3)).astype("f4"), rng.integers(0, 2, 32)
    model.fit(x, y, epochs=1, verbose=0)
    after = model.layers[0].get_weights()[0]
    assert before.shape == after.shape == (3, 2, 7)
    assert (before != after).all()


def test_each_filter_has_its_own_fan_in():
    table = np.zeros((8, 200), bool)
    table[0, :] = True
    table[:, 100:] = True  # the first hundred see one channel, the others eight
    initializer = ck.initializers.UniformFanIn(2.4)
    layer = Conv2D(200, 5, connections=table, kernel_initializer=initializer, name="conv")
    ck.Sequential([ck.Input((6, 6, 8)), layer]).build()
    full = full_kernel(layer.get_weights()[0], table)
    for filters, fan_in in ((full[..., :1, :100], 25), (full[..., 100:], 200)):
        largest = np.abs(filters).max()
        assert 0.95 * 2.4 / fan_in < largest <= 2.4 / fan_in


def test_values_as_initializer():
    values = np.arange(42.0).reshape(3, 2, 7)
    layer = Conv2D(
        4, (3, 2), connections=TABLE, kernel_initializer=ck.initializers.Constant(values)
    )
    ck.Sequential([ck.Input((6, 5, 3)), layer]).build()
    np.testing.assert_array_equal(layer.get_weights()[0], values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(5, 3, connections=TABLE), r"\(C, 5\), got \(3, 4\)"),
        (lambda: Conv2D(4, 3, connections=TABLE[0]), r"got \(4,\)"),
        (lambda: Conv2D(4, 3, connections=[[0], [1], [2], [0, 1, 2]]),
         r"a table of shape \(channels, filters\) = \(C, 4\) .*, got rows of several lengths"),
        (lambda: Conv2D(4, 3, connections=2 * TABLE), "True and False only"),
        (lambda: Conv2D(4, 3, connections=np.full((3, 4), "X")), "True and False only"),
        (lambda: Conv2D(4, 3, connections=TABLE & [[1], [1], [0]]), "channel 2 without any filter"),
        (lambda: Conv2D(4, 3, connections=TABLE & [1, 1, 1, 0]), "filter 3 without any channel"),
        (lambda: Conv2D(4, 3, connections=TABLE, groups=2), "leave out one"),
        (lambda: Conv2D(4, 3, connections=TABLE)(ck.Input((6, 6, 5))), "3 channels, got 5"),
    ],
)  # fmt: skip
def test_misuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
