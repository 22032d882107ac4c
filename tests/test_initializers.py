"""Initial weights: variances, limits, fans, names."""

import math

import numpy as np
import pytest

from convkit import initializers

SHAPE = (5, 5, 20, 50)
FAN_IN, FAN_OUT = 500, 1250


def draw(name, shape=SHAPE):
    return initializers.get(name)(shape, np.random.default_rng(1))


def test_fans():
    assert initializers.compute_fans((7, 3)) == (7, 3)
    assert initializers.compute_fans(SHAPE) == (FAN_IN, FAN_OUT)
    assert initializers.compute_fans((4,)) == (4, 4)


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
    for values in (uniform, normal):
        assert values.var() == pytest.approx(scale / n, rel=0.03)
        assert abs(values.mean()) < 0.03 * math.sqrt(scale / n)
    # Truncated at two standard deviations of the untruncated distribution.
    assert np.abs(normal).max() <= 2 * math.sqrt(scale / n) / 0.8796256 * (1 + 1e-6)


def test_plain_distributions():
    assert not draw("zeros").any()
    assert (draw("ones") == 1).all()
    assert (draw(0.5) == 0.5).all()
    assert draw("random_normal").std() == pytest.approx(0.05, rel=0.03)
    assert np.abs(draw("random_uniform")).max() <= 0.05
    assert np.abs(draw("truncated_normal")).max() <= 0.1


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


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4), (1, 4)])
def test_orthogonal(shape):
    w = draw("orthogonal", shape).astype(np.float64)
    matrix = w.reshape(-1, shape[-1])
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(tall.T @ tall, np.eye(tall.shape[1]), atol=1e-6)
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
