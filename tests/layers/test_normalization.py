"""BatchNormalization as Keras has it: weights, moving statistics, what a frozen layer does."""

import numpy as np
import pytest

import convkit as ck
from convkit import layers

IMAGES = (6, 5, 4, 3)


@pytest.fixture(autouse=True)
def seeded():
    ck.set_seed(7)


def data(shape=IMAGES, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    return (3 + 2 * rng.standard_normal(shape)).astype(np.float32), rng.integers(
        0, classes, shape[0]
    )


def network(*, optimizer="sgd", before=(), **options):
    model = ck.Sequential(
        [
            ck.Input(IMAGES[1:]),
            *before,
            layers.BatchNormalization(name="norm", **options),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dense(2, "softmax", name="out"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def test_weights():
    layer = layers.BatchNormalization()
    assert layer(ck.Input((5, 4, 7))).shape == (None, 5, 4, 7)
    names = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [(p.name, p.shape) for p in layer.weights] == [(name, (7,)) for name in names]
    assert layer.count_params() == 28
    assert [p.name for p in layer.trainable_weights] == names[:2]
    assert [p.name for p in layer.non_trainable_weights] == names[2:]
    assert (layer.momentum, layer.epsilon, layer.axis) == (0.99, 1e-3, -1)
    assert layer.name.startswith("batch_normalization")


def test_without_gamma_or_beta():
    for options, names in (
        ({"scale": False}, ["beta"]),
        ({"center": False}, ["gamma"]),
        ({"center": False, "scale": False}, []),
    ):
        layer = layers.BatchNormalization(**options)
        layer(ck.Input((4,)))
        assert [p.name for p in layer.trainable_weights] == names
        assert layer.count_params() == 4 * (2 + len(names))
        model = network(**options)
        x, y = data()
        model.fit(x, y, epochs=2, verbose=0)
        assert ck.testing.check_gradients(model, x, y).passed


def test_initializers():
    model = network(
        gamma_initializer=ck.initializers.Constant(2.0),
        beta_initializer="ones",
        moving_mean_initializer=ck.initializers.Constant(3.0),
        moving_variance_initializer=ck.initializers.Constant(4.0),
    )
    assert [w[0] for w in model.get_layer("norm").get_weights()] == [2, 1, 3, 4]


def test_training_normalises_by_the_batch_and_predicting_by_the_averages():
    """One step at a learning rate of 0, against NumPy."""
    x, y = data()
    model = network(momentum=0.75, epsilon=0.5, optimizer=ck.optimizers.SGD(0.0))
    norm, dense = model.get_layer("norm"), model.layers[-1]
    rng = np.random.default_rng(1)
    gamma, beta = rng.standard_normal((2, 3)).astype(np.float32)
    moving = [np.array([1, 2, 3], np.float32), np.array([4, 5, 6], np.float32)]
    norm.set_weights([gamma, beta, *moving])

    def loss(mean, variance):
        h = gamma * (x - mean) / np.sqrt(variance + 0.5) + beta
        z = np.maximum(h, 0).reshape(len(x), -1) @ dense.get_weights()[0]
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return -np.log(z[np.arange(len(y)), y] / z.sum(axis=1)).mean()

    mean, variance = x.mean(axis=(0, 1, 2), dtype="f8"), x.var(axis=(0, 1, 2), dtype="f8")
    assert model.evaluate(x, y, verbose=0) == pytest.approx(loss(*moving), rel=1e-5)
    history = model.fit(x, y, batch_size=len(x), verbose=0)
    assert history.history["loss"][0] == pytest.approx(loss(mean, variance), rel=1e-5)
    after = [0.75 * moving[0] + 0.25 * mean, 0.75 * moving[1] + 0.25 * variance]
    got = norm.get_weights()
    np.testing.assert_allclose(got[2:], after, rtol=1e-6)
    assert (got[0] == gamma).all() and (got[1] == beta).all()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(loss(*after), rel=1e-5)
    before = norm.get_weights()
    model.predict(x, verbose=0)
    assert all((a == b).all() for a, b in zip(before, norm.get_weights()))


def test_the_averages_approach_the_statistics_of_the_data():
    x, y = data((256, 5, 4, 3))
    model = network(momentum=0.9)
    model.fit(x, y, batch_size=64, epochs=30, verbose=0)
    mean, variance = model.get_layer("norm").get_weights()[2:]
    np.testing.assert_allclose(mean, x.mean(axis=(0, 1, 2)), rtol=0.02)
    np.testing.assert_allclose(variance, x.var(axis=(0, 1, 2)), rtol=0.02)


@pytest.mark.parametrize("first", ["native", "eager"])
def test_executors_agree(first):
    x, y = data()
    model = network(before=[layers.Conv2D(3, 3, padding="same")])
    difference = ck.testing.compare(model, x, y, first, "reference")
    assert difference.agrees, str(difference)


@pytest.mark.parametrize("executor", ["native", "reference"])
def test_gradients(executor):
    x, y = data()
    model = network(before=[layers.Conv2D(4, 3, use_bias=False)], gamma_initializer="random_normal")
    report = ck.testing.check_gradients(model, x, y, executor=executor)
    assert report.passed, str(report)


@pytest.mark.parametrize("shape", [(9, 6), (5, 4, 6)])
def test_dense_and_sequences(shape):
    x, y = data(shape)
    model = ck.Sequential(
        [
            ck.Input(shape[1:]),
            layers.BatchNormalization(axis=len(shape) - 1),
            layers.Flatten(),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    assert ck.testing.compare(model, x, y, "native", "reference").agrees
    assert ck.testing.check_gradients(model, x, y).passed


def test_a_frozen_layer_keeps_its_statistics_and_uses_them():
    """As in Keras 2.0 and later: trainable = False means inference, also while training."""
    x, y = data()
    model = network(before=[layers.Conv2D(3, 3, padding="same", name="conv")])
    model.fit(x, y, epochs=3, verbose=0)
    norm = model.get_layer("norm")
    norm.trainable = False
    model.compile(ck.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    assert len(norm.trainable_weights) == 0
    before = norm.get_weights()
    history = model.fit(x, y, batch_size=len(x), verbose=0)
    assert history.history["loss"][0] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-6)
    assert all((a == b).all() for a, b in zip(before, norm.get_weights()))
    assert ck.testing.compare(model, x, y, "native", "reference").agrees
    report = ck.testing.check_gradients(model, x, y)  # of the convolution before it
    assert report.passed, str(report)


def test_a_step_with_nan_leaves_the_averages_alone():
    x, y = data()
    model = network()
    model.fit(x, y, verbose=0)
    before = model.get_layer("norm").get_weights()
    x[2, 1, 1, 1] = np.nan
    with pytest.raises(ck.NonFiniteError):
        model.fit(x, y, batch_size=len(x), verbose=0)
    assert all((a == b).all() for a, b in zip(before, model.get_layer("norm").get_weights()))


class Masked(layers.Layer):
    """Says that all steps of a sequence count."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def emit(self, builder, inputs):
        mask = builder.constant("mask", np.ones(inputs[0].spec.shape[:2], np.uint8))
        builder.set_mask(inputs[0], mask)
        return inputs[0]


def test_a_mask_is_no_matter_for_predicting_and_refused_in_training():
    x, y = data((4, 5, 3))
    model = ck.Sequential(
        [ck.Input((5, 3)), Masked(), layers.BatchNormalization(), layers.Flatten(), layers.Dense(2)]
    )
    model.compile("sgd", ck.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert model.predict(x, verbose=0).shape == (4, 2)
    with pytest.raises(ValueError, match="cannot leave masked steps out of the statistics"):
        model.fit(x, y, verbose=0)


def test_a_batch_of_one_value_gives_beta():
    model = ck.Sequential([ck.Input((4,)), layers.BatchNormalization(beta_initializer="ones")])
    model.compile(ck.optimizers.SGD(0.0), "mse")
    x = np.array([[1, -2, 3e5, 0]], np.float32)
    loss = model.fit(x, np.zeros((1, 4), np.float32), verbose=0).history["loss"][0]
    assert loss == 1


def test_a_shared_layer_averages_both_uses():
    shared = layers.BatchNormalization(momentum=0.5, name="shared")
    a, b = ck.Input((2,)), ck.Input((2,))
    model = ck.Model([a, b], layers.Dense(1)(layers.add([shared(a), shared(b)])))
    model.compile(ck.optimizers.SGD(0.0), "mse")
    x = np.array([[0, 0], [2, 4]], np.float32)
    model.fit([x, x + 10], np.zeros((2, 1), np.float32), batch_size=2, verbose=0)
    mean, variance = shared.get_weights()[2:]
    np.testing.assert_allclose(mean, [0.25 * 1 + 0.5 * 11, 0.25 * 2 + 0.5 * 12])
    np.testing.assert_allclose(variance, [0.25 + 0.25 * 1 + 0.5 * 1, 0.25 + 0.25 * 4 + 0.5 * 4])


def test_weights_survive_a_file(tmp_path):
    x, y = data()
    model = network()
    model.fit(x, y, epochs=2, verbose=0)
    model.save_weights(tmp_path / "weights.npz")
    other = network()
    other.load_weights(tmp_path / "weights.npz")
    assert (model.predict(x, verbose=0) == other.predict(x, verbose=0)).all()


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "axis=1 is not supported, channels are on the last", {"axis": 1}),
        (ValueError, "axis must be -1", {"axis": (1, 2)}),
        (ValueError, "synchronized=True is not supported", {"synchronized": True}),
        (ValueError, "layer .*epsilon is 0", {"epsilon": 0}),
        (ValueError, "momentum is 2", {"momentum": 2}),
        (ValueError, "gamma_constraint is not supported", {"gamma_constraint": "l2"}),
        (ValueError, "beta_constraint is not supported", {"beta_constraint": "max_norm"}),
        (TypeError, "has no argument 'centre'; did you mean 'center'", {"centre": False}),
    ],
)
def test_errors(error, message, make):
    with pytest.raises(error, match=message):
        layers.BatchNormalization(**make)(ck.Input((4, 5, 3)))


def test_a_shared_layer_refuses_other_channels():
    layer = layers.BatchNormalization(name="bn")
    layer(ck.Input((4, 3)))
    with pytest.raises(ValueError, match=r"'bn' .* has weights for 3 channels, got 5"):
        layer(ck.Input((4, 5)))


@pytest.mark.parametrize("region", ["across_channels", "within_channel"])
def test_local_response_normalization(region):
    x, y = data()
    layer = layers.LocalResponseNormalization(3, alpha=0.5, k=1, norm_region=region)
    model = ck.Sequential(
        [ck.Input(IMAGES[1:]), layers.Conv2D(4, 3), layer, layers.Flatten(), layers.Dense(2)]
    )
    model.compile("sgd", ck.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert layer.count_params() == 0
    assert ck.testing.compare(model, x, y, "native", "reference").agrees
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, str(report)


def test_local_response_normalization_is_that_of_the_op():
    x, _ = data()
    model = ck.Sequential([ck.Input(IMAGES[1:]), layers.LocalResponseNormalization()])
    expected = ck.reference.local_response_normalization(x)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (TypeError, "no argument 'depth_radius'; it is size = 2", {"depth_radius": 2}),
        (TypeError, "no argument 'bias'; it is k", {"bias": 1}),
        (TypeError, "no argument 'local_size'", {"local_size": 5}),
        (ValueError, "layer .*unknown alpha_per", {"alpha_per": "n"}),
        (ValueError, "layer .*k is -1", {"k": -1}),
        (ValueError, r"layer .*within a channel, got", {"norm_region": "within_channel"}),
    ],
)
def test_errors_of_local_response_normalization(error, message, make):
    with pytest.raises(error, match=message):
        layers.LocalResponseNormalization(**make)(ck.Input((4, 3)))
