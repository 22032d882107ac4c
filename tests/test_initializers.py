"""Initial weights: variances, limits, fans, names."""

import math

import numpy as np
import pytest

import convkit as ck
from convkit import initializers, layers

SHAPE = (5, 5, 20, 50)
FAN_IN, FAN_OUT = 500, 1250


def draw(name, shape=SHAPE):
    return initializers.get(name)(shape, np.random.default_rng(1))


def test_fans():
    """Those of Keras 3, keras/src/initializers/random_initializers.py."""
    assert initializers.compute_fans(()) == (1, 1)
    assert initializers.compute_fans((4,)) == (4, 4)
    assert initializers.compute_fans((7, 3)) == (7, 3)
    assert initializers.compute_fans((5, 6, 7)) == (30, 35)
    assert initializers.compute_fans(SHAPE) == (FAN_IN, FAN_OUT)


@pytest.mark.parametrize(
    ("layer", "shape", "kernel", "fans"),
    [
        (layers.Dense(3), (7,), (7, 3), (7, 3)),
        (layers.Conv2D(6, (2, 3), groups=2), (8, 8, 4), (2, 3, 2, 6), (12, 36)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (8, 8, 5), (3, 3, 5, 2), (45, 18)),
        (layers.Conv2DTranspose(6, 3), (8, 8, 4), (3, 3, 6, 4), (54, 36)),
        (layers.Embedding(9, 4), (5,), (9, 4), (9, 4)),
        (layers.SimpleRNN(5), (3, 2), (2, 5), (2, 5)),
    ],
)
def test_kernels_have_the_shapes_and_fans_of_keras(layer, shape, kernel, fans):
    model = ck.Sequential([ck.Input(shape), layer])
    model.build()
    weights = model.layers[-1].get_weights()[0]
    assert weights.shape == kernel
    assert initializers.compute_fans(weights.shape) == fans


N = math.prod(SHAPE)
SURE = 5.0  # standard errors: a right generator fails once in 1.7 million tests


def check_moments(values, variance, kurtosis):
    """Mean and variance of N independent values are within SURE standard errors of theirs.

    The variance of a sample variance is variance^2 (kurtosis - 1) / N, to first order.
    """
    values = values.astype(np.float64).reshape(-1)
    assert abs(values.mean()) <= SURE * math.sqrt(variance / N)
    error = variance * math.sqrt((kurtosis - 1) / N)
    assert abs((values**2).mean() - variance) <= SURE * error


def check_distribution(values, cdf):
    """The largest distance of the empirical distribution is below 2.7 / sqrt(N).

    By Kolmogorov a right one is above with probability 2 exp(-2 * 2.7^2) = 9e-7.
    """
    ordered = np.sort(values.astype(np.float64).reshape(-1))
    expected, n = cdf(ordered), len(ordered)
    steps = np.arange(n + 1) / n
    distance = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    assert distance < 2.7 / math.sqrt(n)


def normal_cdf(x):
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


# A standard normal number within two of its standard deviations: its own deviation, to Keras's
# digits, and its kurtosis.
DENSITY, INSIDE = math.exp(-2) / math.sqrt(2 * math.pi), math.erf(math.sqrt(2))
TRUNCATED = 1 - 2 * 2 * DENSITY / INSIDE
KURTOSIS = (3 * TRUNCATED - 2 * 2**3 * DENSITY / INSIDE) / TRUNCATED**2


def test_the_deviation_of_a_truncated_normal_number():
    assert math.sqrt(TRUNCATED) == pytest.approx(0.87962566103423978, rel=1e-14)
    x = np.linspace(-2, 2, 200_001)
    density = np.exp(-(x**2) / 2)
    assert (
        pytest.approx(
            (x**4 * density).mean() * density.mean() / (x**2 * density).mean() ** 2, rel=1e-4
        )
        == KURTOSIS
    )


@pytest.mark.parametrize(
    ("name", "scale", "n"),
    [
        ("glorot", 1, (FAN_IN + FAN_OUT) / 2),
        ("he", 2, FAN_IN),
        ("lecun", 1, FAN_IN),
    ],
)
def test_variances(name, scale, n):
    uniform, normal = draw(f"{name}_uniform"), draw(f"{name}_normal")
    assert uniform.dtype == normal.dtype == np.float32
    limit = math.sqrt(3 * scale / n)
    assert 0.999 * limit < np.abs(uniform).max() <= limit * (1 + 1e-6)
    check_moments(uniform, scale / n, 9 / 5)
    check_distribution(uniform, lambda x: (x + limit) / (2 * limit))
    # Truncated at two standard deviations of the untruncated distribution.
    deviation = math.sqrt(scale / n) / 0.87962566103423978
    assert 1.95 * deviation < np.abs(normal).max() <= 2 * deviation * (1 + 1e-6)
    check_moments(normal, scale / n, KURTOSIS)
    below = 0.5 * math.erfc(math.sqrt(2))
    check_distribution(normal, lambda x: (normal_cdf(x / deviation) - below) / INSIDE)


@pytest.mark.parametrize(
    ("mode", "n"),
    [("fan_in", FAN_IN), ("fan_out", FAN_OUT), ("fan_avg", (FAN_IN + FAN_OUT) / 2)],
)
@pytest.mark.parametrize(
    ("distribution", "kurtosis"),
    [("uniform", 9 / 5), ("truncated_normal", KURTOSIS), ("untruncated_normal", 3)],
)
def test_variance_scaling(mode, n, distribution, kurtosis):
    values = draw(initializers.VarianceScaling(3.0, mode, distribution))
    check_moments(values, 3 / n, kurtosis)
    if distribution == "untruncated_normal":
        assert np.abs(values).max() > 3 * math.sqrt(3 / n)


def test_plain_distributions():
    assert not draw("zeros").any() and not draw("zero").any()
    assert (draw("ones") == 1).all() and (draw("one") == 1).all()
    assert (draw(0.5) == 0.5).all()
    np.testing.assert_array_equal(draw(initializers.Constant([1, 2]), (3, 2)), [[1, 2]] * 3)
    with pytest.raises(ValueError, match=r"\[Constant\] value has shape \(2,\), expected \(2, 3\)"):
        draw(initializers.Constant([1, 2]), (2, 3))
    for name in ("random_normal", "normal"):
        check_moments(draw(name), 0.05**2, 3)
        check_distribution(draw(name), lambda x: normal_cdf(x / 0.05))
    for name in ("random_uniform", "uniform"):
        assert np.abs(draw(name)).max() <= 0.05
        check_moments(draw(name), 0.1**2 / 12, 9 / 5)
    assert np.abs(draw("truncated_normal")).max() <= 0.1
    check_moments(draw("truncated_normal"), 0.05**2 * TRUNCATED, KURTOSIS)
    shifted = draw(initializers.RandomUniform(0, 1))
    assert shifted.min() >= 0 and shifted.max() <= 1
    check_moments(shifted - np.float32(0.5), 1 / 12, 9 / 5)
    check_moments(draw(initializers.RandomNormal(3.0, 0.1)).astype(float) - 3, 0.1**2, 3)


def test_lenet_s_uniform():
    values = draw(initializers.UniformFanIn(2.4))
    assert 0.999 * 2.4 / FAN_IN < np.abs(values).max() <= 2.4 / FAN_IN * (1 + 1e-6)
    check_moments(values, (2 * 2.4 / FAN_IN) ** 2 / 12, 9 / 5)


def test_identity():
    for shape in ((3, 3), (2, 4), (4, 2)):
        np.testing.assert_array_equal(draw("identity", shape), np.eye(*shape))
    np.testing.assert_array_equal(draw(initializers.Identity(gain=0.5), (3, 3)), 0.5 * np.eye(3))
    with pytest.raises(ValueError, match=r"two axes, got \(2, 3, 4\)"):
        draw("identity", (2, 3, 4))
    layer = layers.SimpleRNN(4, "relu", recurrent_initializer="identity")
    ck.Sequential([ck.Input((5, 3)), layer]).build()
    np.testing.assert_array_equal(layer.get_weights()[1], np.eye(4))


def test_a_seed_of_its_own():
    a = initializers.HeNormal(seed=3)
    values = a((4, 4), np.random.default_rng(1))
    np.testing.assert_array_equal(values, a((4, 4), np.random.default_rng(2)))


def test_get():
    assert isinstance(initializers.get("GlorotUniform"), initializers.GlorotUniform)
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)
    values = initializers.get(lambda shape, rng: np.full(shape, 2.0))((3,), np.random.default_rng())
    np.testing.assert_array_equal(values, [2, 2, 2])
    with pytest.raises(ValueError, match="did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrom")
    with pytest.raises(TypeError, match="an initializer is"):
        initializers.get([1])


def test_functions_of_users():
    def keras(shape, dtype=None):
        return np.full(shape, 2, dtype)

    def both(shape, rng, dtype="float64"):
        return rng.random(shape).astype(dtype)

    for function in (keras, np.ones, lambda shape: np.ones(shape), lambda *a: a[1].random(a[0])):
        assert draw(function, (3, 2)).shape == (3, 2)
    assert (draw(keras, (3, 2)) == 2).all() and draw(both, (3,)).dtype == np.float32
    with pytest.raises(ValueError, match=r"returned shape \(2,\), expected \(3, 2\)"):
        draw(lambda shape, rng: [1, 2], (3, 2))
    layer = layers.Dense(2, kernel_initializer=keras)
    ck.Sequential([ck.Input((3,)), layer]).build()
    assert (layer.get_weights()[0] == 2).all()


def test_calls_as_in_keras():
    values = initializers.GlorotNormal(seed=1)(shape=(4, 3), dtype="float64")
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, initializers.GlorotNormal(seed=1)((4, 3)))
    with pytest.raises(TypeError, match="a dtype goes by name, dtype='float32'"):
        initializers.Zeros()((2,), "float32")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: initializers.RandomUniform(1, 0), "minval <= maxval, got 1 and 0"),
        (lambda: initializers.RandomNormal(0, -1), "stddev >= 0, got 0 and -1"),
        (lambda: initializers.TruncatedNormal(math.nan), "TruncatedNormal. needs a finite mean"),
        (lambda: initializers.VarianceScaling(0), "scale must be positive"),
        (lambda: initializers.VarianceScaling(mode="fan_mean"), "unknown mode 'fan_mean'"),
        (lambda: initializers.VarianceScaling(distribution="unifrom"), "did you mean 'uniform'"),
        (lambda: initializers.UniformFanIn(-1), "scale must be positive"),
        (lambda: initializers.UniformFanIn(fan_in=0), "at least 1"),
    ],
)
def test_refusals(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4), (1, 4)])
def test_orthogonal(shape):
    w = draw("orthogonal", shape).astype(np.float64)
    matrix = w.reshape(-1, shape[-1])
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    # Each entry is rounded to float32, which changes a product of two columns by 2 eps at most.
    eps = float(np.finfo(np.float32).eps) / 2
    np.testing.assert_allclose(tall.T @ tall, np.eye(tall.shape[1]), rtol=0, atol=2.1 * eps)
    assert w.shape == shape
    gained = initializers.Orthogonal(gain=3.0)(shape, np.random.default_rng(1))
    np.testing.assert_allclose(gained, 3 * w, rtol=1e-6)


def test_orthogonal_is_uniform_over_signs():
    signs = [np.sign(draw_with(seed)[0, 0]) for seed in range(200)]
    assert 60 < sum(s > 0 for s in signs) < 140
    with pytest.raises(ValueError, match="two axes at least"):
        draw("orthogonal", (4,))


def draw_with(seed):
    return initializers.Orthogonal()((4, 4), np.random.default_rng(seed))
