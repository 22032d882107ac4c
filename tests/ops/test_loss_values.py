"""loss: closed forms, limits and far values of every kind, on every row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops.loss_formulas import FOCAL_LOSSES, LABEL_LOSSES, LOSSES
from convkit.ops.registry import Array
from ops.numeric import each_row
from ops.test_loss import CLASS_PROBABILITIES, POSITIVE, PROBABILITIES

LN2 = float(np.log(2))


def backward(p: Any, t: Any, kind: str, **options: Any) -> list[tuple[Array, float, Array]]:
    """Losses, total and gradient from every row."""
    return each_row(
        "loss", "backward", lambda k: ck.ops.loss_backward(p, t, kind, kernel=k, **options)
    )


# Rows of p and t in float64, with the loss and the gradient worked out by hand.
FORMS: dict[str, tuple[str, Any, Any, Any, Any, dict[str, Any]]] = {
    "squared": ("squared_error", [3.0, -1.0], [1.0, 1.0], 4, [2, -2], {}),
    "sum of squares": ("squared_error", [3, -1.0], [1.0, 1], 8, [4, -4], {"divisor": 1.0}),
    "half of it": ("squared_error", [3.0, -1], [1.0, 1.0], 4, [2, -2], {"divisor": 2.0}),
    "root": ("root_mean_squared_error", [4.0, -3.0], [1.0, 1.0], np.sqrt(12.5),
             [1.5 / np.sqrt(12.5), -2 / np.sqrt(12.5)], {}),
    "absolute": ("absolute_error", [3.0, -1.0, 2], [1.0, 1.0, 2], 4 / 3, [1 / 3, -1 / 3, 0], {}),
    "percentage": ("absolute_percentage_error", [3.0, 3.0], [2.0, 4], 37.5, [25, -12.5], {}),
    "logarithmic": ("squared_logarithmic_error", [np.e - 1, np.e**3 - 1], [np.e**2 - 1] * 2, 1,
                    [-1 / np.e, np.e**-3], {}),
    "huber": ("huber", [0.5, 3, -3], [0.0, 0, 0], (0.125 + 4 + 4) / 3, [0.5 / 3, 2 / 3, -2 / 3],
              {"delta": 2.0}),
    "log cosh": ("log_cosh", [LN2, 0.0], [0.0, 0.0], np.log(1.25) / 2, [0.3, 0], {}),
    "poisson": ("poisson", [np.e - 1e-7, 1 - 1e-7], [2.0, 5.0], (np.e - 1) / 2 - 1e-7,
                [0.5 - 1 / np.e, -2], {}),
    "divergence": ("kl_divergence", [0.25, 0.75], [0.5, 0.5], LN2 / 2 + np.log(2 / 3) / 2,
                   [-2, -2 / 3], {}),
    "hinge": ("hinge", [0.5, 2.0, 3.0], [1.0, 1.0, -1], 1.5, [-1 / 3, 0, 1 / 3], {}),
    "squared hinge": ("squared_hinge", [0.5, 2.0, 3], [1.0, 1, -1], 16.25 / 3,
                      [-1 / 3, 0, 8 / 3], {}),
    "categorical hinge": ("categorical_hinge", [0.5, 2.0, -1.0], [1.0, 0, 0], 2.5, [-1, 1, 0], {}),
    "of a tie": ("categorical_hinge", [0.5, 2.0, 2.0], [1.0, 0, 0], 2.5, [-1, 0.5, 0.5], {}),
    "right by far": ("categorical_hinge", [5.0, 2.0, -1.0], [1.0, 0, 0], 0, [0, 0, 0], {}),
    "cosine": ("cosine_similarity", [3.0, 4.0], [1.0, 0.0], -0.6, [-0.128, 0.096], {}),
    "focal": ("focal_cross_entropy", [0.25, 0.75], [1.0, 0.0], 0.5625 * 2 * LN2,
              # f = (1-q)^2 (-log q) of q = p0 / (p0 + p1); dq = (0.75, -0.25)
              [(-4 * 0.5625 - 3 * LN2) * 0.75, (-4 * 0.5625 - 3 * LN2) * -0.25], {}),
    "binary focal": ("binary_focal_cross_entropy", [0.5, 0.5], [1.0, 0.0], LN2 / 4,
                     [-(0.25 * 2 + LN2) / 2, (0.25 * 2 + LN2) / 2], {}),
    "balanced": ("binary_focal_cross_entropy", [0.5, 0.5], [1.0, 0.0], LN2 / 8,
                 [-(0.5 + LN2) / 8, (0.5 + LN2) * 3 / 8], {"balanced": True, "alpha": 0.25}),
    "focal logits": ("sigmoid_focal_cross_entropy", [0.0], [1.0], LN2 / 4,
                     [-(0.5 + LN2) / 4], {}),
    "focal classes": ("softmax_focal_cross_entropy", [0.0, 0.0], [1.0, 0.0], LN2 / 4,
                      [-(0.5 + LN2) / 4, (0.5 + LN2) / 4], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_closed_forms(name: str) -> None:
    kind, p, t, loss, gradient, options = FORMS[name]
    p, t = np.array([p], np.float64), np.array([t], np.float64)
    for losses, total, dp in backward(p, t, kind, **options):
        assert losses[0] == pytest.approx(loss, rel=1e-13, abs=1e-15)
        assert total == losses[0]
        np.testing.assert_allclose(dp[0], gradient, rtol=1e-12, atol=1e-15)


def test_every_new_kind_has_a_closed_form() -> None:
    old = {"softmax_cross_entropy", "cross_entropy", "sigmoid_cross_entropy"}
    assert {form[0] for form in FORMS.values()} == set(LOSSES) - old - {"binary_cross_entropy"}


@pytest.mark.parametrize("kind", sorted(FOCAL_LOSSES))
def test_without_a_focus_it_is_the_cross_entropy(kind: str) -> None:
    rng = np.random.default_rng(0)
    plain = kind.replace("focal_", "")
    p = rng.uniform(0.05, 0.95, (7, 5)) if kind in PROBABILITIES else rng.normal(0, 4, (7, 5))
    t = rng.integers(0, 5, 7) if kind in LABEL_LOSSES else rng.random((7, 5))
    wanted = ck.ops.loss_backward(p, t, plain, label_smoothing=0.1)
    for found in backward(p, t, kind, label_smoothing=0.1, gamma=0.0):
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("labels", [False, True])
def test_alpha_of_a_class_multiplies_its_loss(labels: bool) -> None:
    rng = np.random.default_rng(0)
    p, label, alpha = rng.normal(0, 2, (6, 4)), rng.integers(0, 4, 6), np.array([0, 0.5, 1, 3])
    t = label if labels else np.eye(4)[label]
    for kind in ("softmax_focal_cross_entropy", "focal_cross_entropy"):
        q = np.exp(p) if kind == "focal_cross_entropy" else p
        plain = ck.ops.loss_backward(q, t, kind)
        for losses, _, dp in backward(q, t, kind, alpha=alpha):
            np.testing.assert_allclose(losses, plain[0] * alpha[label], rtol=1e-12)
            np.testing.assert_allclose(dp, plain[2] * alpha[label, None], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("far", [1e4, 1e30])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_far_logits(far: float, gamma: float) -> None:
    """A sure and right prediction costs nothing, a sure and wrong one what it is off by."""
    p = np.array([[far, 0.0, -far], [far, 0.0, -far]], np.float32)
    for losses, _, dp in backward(p, [0, 2], "softmax_focal_cross_entropy", gamma=gamma):
        assert losses.tolist() == [0.0, np.float32(2 * far)]
        assert dp.tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, -1.0]]
    p = np.array([[far, -far], [far, -far]], np.float32)
    t = np.array([[1, 0], [0, 1]], np.float32)
    for losses, _, dp in backward(p, t, "sigmoid_focal_cross_entropy", gamma=gamma):
        assert losses.tolist() == [0.0, np.float32(far)]
        assert dp.tolist() == [[0.0, 0.0], [0.5, -0.5]]


def test_log_cosh_is_stable() -> None:
    p = np.array([[1e4], [-1e4], [1e30], [1e-4], [1e-15], [0.0]], np.float32)
    wanted = [1e4 - LN2, 1e4 - LN2, 1e30, 0.5e-8, 0.5e-30, 0.0]
    for losses, _, dp in backward(p, np.zeros_like(p), "log_cosh"):
        np.testing.assert_allclose(losses, wanted, rtol=1e-6)
        np.testing.assert_allclose(dp[:, 0], np.tanh(p[:, 0].astype(float)), rtol=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_certain_probabilities_stay_finite(kind: str) -> None:
    """Predictions of exactly 0 and 1, right and wrong."""
    p = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], np.float32)
    t = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    rows = 2 if kind in (CLASS_PROBABILITIES[0], "focal_cross_entropy") else 3  # 0/0 is NaN
    for losses, total, dp in backward(p[:rows], t[:rows], kind):
        assert np.isfinite(losses).all() and np.isfinite(total) and np.isfinite(dp).all()


@pytest.mark.parametrize("kind", LOSSES)
def test_nan_reaches_the_total(kind: str) -> None:
    p, t = np.full((5, 40), 0.5, np.float32), np.full((5, 40), 1.0, np.float32)
    for column in (0, 17, 39):
        q = p.copy()
        q[3, column] = np.nan
        for losses, total, _ in backward(q, t, kind):
            assert np.isnan(total) and np.isnan(losses[3])
            if kind != "root_mean_squared_error":
                assert np.isfinite(losses[[0, 1, 2, 4]]).all()


@pytest.mark.parametrize("kind", LOSSES)
def test_rows_of_weight_zero_count_nothing(kind: str) -> None:
    rng = np.random.default_rng(0)
    positive = kind in PROBABILITIES or kind in POSITIVE
    p = rng.uniform(0.1, 0.9, (6, 5)) if positive else rng.standard_normal((6, 5))
    t = np.sign(rng.standard_normal((6, 5))) if "hinge" in kind else rng.random((6, 5))
    for losses, total, dp in backward(p, t, kind, weight=np.zeros(6)):
        assert total == 0 and not losses.any() and not dp.any()
    some = np.array([1.0, 0.0, 2.0, 0.0, 0.0, 1.0])
    for _, _, dp in backward(p, t, kind, weight=some):
        assert not dp[some == 0].any() and dp[some > 0].any(axis=1).all()


def test_the_root_has_a_finite_gradient_at_zero() -> None:
    p = np.arange(6.0).reshape(3, 2)
    for losses, total, dp in backward(p, p, "root_mean_squared_error", scale=1 / 3):
        assert total == 0 and not losses.any() and not dp.any()


def test_the_root_is_over_the_batch() -> None:
    rng = np.random.default_rng(0)
    p, t, weight = rng.standard_normal((9, 3)), rng.standard_normal((9, 3)), rng.random(9)
    root = np.sqrt((weight[:, None] * (p - t) ** 2).mean())
    for losses, total, dp in backward(p, t, "root_mean_squared_error", weight=weight, scale=1 / 9):
        np.testing.assert_allclose(losses, root, rtol=1e-13)
        assert total == pytest.approx(9 * root, rel=1e-13)
        np.testing.assert_allclose(dp, weight[:, None] * (p - t) / (27 * root), rtol=1e-12)


P = np.full((4, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("squared_error has no gamma", lambda: ck.ops.loss(P, P, "squared_error", gamma=1.0)),
        ("huber has no divisor.*|huber has no alpha", lambda: ck.ops.loss(P, P, "huber", alpha=1)),
        ("hinge has no delta", lambda: ck.ops.loss(P, P, "hinge", delta=1.0)),
        (
            "cosine_similarity has no divisor",
            lambda: ck.ops.loss(P, P, "cosine_similarity", divisor=2.0),
        ),
        (
            "focal_cross_entropy has no balanced",
            lambda: ck.ops.loss(P, P, "focal_cross_entropy", balanced=True),
        ),
        ("delta is 0.0", lambda: ck.ops.loss(P, P, "huber", delta=0.0)),
        ("gamma is -1", lambda: ck.ops.loss(P, P, "focal_cross_entropy", gamma=-1)),
        ("alpha is nan", lambda: ck.ops.loss(P, P, "focal_cross_entropy", alpha=np.nan)),
        ("takes no alpha for each", lambda: ck.ops.loss(P, P, "poisson", alpha=np.ones(3))),
        (
            r"alpha is float32\(4,\), expected float32 of shape \(3,\)",
            lambda: ck.ops.loss(P, P, "focal_cross_entropy", alpha=np.ones(4)),
        ),
        (
            "expected numbers from 0",
            lambda: ck.ops.loss(P, P, "focal_cross_entropy", alpha=[1, 1, -1]),
        ),
    ],
)
def test_errors(message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call()
