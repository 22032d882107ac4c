"""batch_norm: mean 0, variance 1 over the batch. Contract in csrc/ops/batch_norm/batch_norm.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from convkit.ops import batch_norm_formulas as formulas
from convkit.ops.apply import apply, as_operands, check_channels
from convkit.ops.registry import Array, Op, Params, Pass, Spec, Tape, define

__all__ = [
    "OP",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "batch_norm_params",
    "batch_norm_update",
]


def _infer_forward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, gamma, beta = specs
    assert x is not None
    check_channels("batch_norm", "x", x, gamma=gamma, beta=beta)
    of_channels = Spec(x.shape[-1:], x.dtype)
    return [x, of_channels, of_channels]


def _infer_inference(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, mean, variance, gamma, beta = specs
    assert x is not None
    check_channels("batch_norm", "x", x, mean=mean, variance=variance, gamma=gamma, beta=beta)
    return [x]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dy, x, mean, variance, gamma = specs
    assert dy is not None and x is not None
    if dy.shape != x.shape:
        raise ValueError(f"[batch_norm] dy has shape {dy.shape}, expected {x.shape} as x")
    check_channels("batch_norm", "x", x, mean=mean, variance=variance, gamma=gamma)
    of_channels = Spec(x.shape[-1:], x.dtype)
    return [x, of_channels, of_channels]


def _infer_update(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    names = ("mean", "variance", "moving_mean", "moving_variance")
    if any(spec is None or len(spec.shape) != 1 or spec != specs[0] for spec in specs):
        each = ", ".join(
            f"{n} {'absent' if s is None else s.shape}" for n, s in zip(names, specs, strict=True)
        )
        raise ValueError(f"[batch_norm] expected four vectors of one length, got {each}")
    return []


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    dy = gradients[0]
    if instruction.pass_name == "forward":
        x, gamma, beta = instruction.inputs
        _, mean, variance = instruction.outputs
        at, which = (0, 1, 2), "backward"
    else:
        x, mean, variance, gamma, beta = instruction.inputs
        at, which = (0, 3, 4), "backward_inference"
    out = [
        v.spec if v is not None and tape.needs(i) else None
        for i, v in zip(at, (x, gamma, beta), strict=True)
    ]
    found = tape.emit(
        "batch_norm", which, [dy, x, mean, variance, gamma],
        params=instruction.params, out=out, for_inputs=at,
    )  # fmt: skip
    given: list[Any] = [None] * len(instruction.inputs)
    for i, gradient in zip(at, found, strict=True):
        given[i] = gradient
    return given


# fmt: off
_STATISTICS = ("mean", "variance")
OP = define(
    Op(
        "batch_norm",
        (
            Pass("forward", ("x", "gamma?", "beta?"), ("y", *_STATISTICS), formulas.forward,
                 formulas.forward_bound, infer=_infer_forward),
            Pass("inference", ("x", *_STATISTICS, "gamma?", "beta?"), ("y",), formulas.inference,
                 formulas.inference_bound, infer=_infer_inference, inplace=(("y", "x"),)),
            Pass("backward", ("dy", "x", *_STATISTICS, "gamma?"), ("dx?", "dgamma?", "dbeta?"),
                 formulas.backward, formulas.backward_bound, infer=_infer_backward,
                 inplace=(("dx", "dy"),)),
            Pass("backward_inference", ("dy", "x", *_STATISTICS, "gamma?"),
                 ("dx?", "dgamma?", "dbeta?"), formulas.backward_inference,
                 formulas.backward_inference_bound, infer=_infer_backward,
                 inplace=(("dx", "dy"),)),
            Pass("update_moving", _STATISTICS, (), formulas.update_moving,
                 formulas.update_moving_bound, updates=("moving_mean", "moving_variance"),
                 infer=_infer_update),
        ),
        _gradient,
    )
)
# fmt: on


def batch_norm_params(*, epsilon: float = 1e-3, momentum: float = 0.99) -> dict[str, Any]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        If epsilon is not positive or the momentum is not in [0, 1].
    """
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"[batch_norm] epsilon is {epsilon}, expected a positive number")
    if not 0 <= momentum <= 1:
        raise ValueError(f"[batch_norm] momentum is {momentum}, expected 0 <= momentum <= 1")
    return {"epsilon": float(epsilon), "momentum": float(momentum)}


def batch_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
    kernel: str | None = None,
) -> tuple[Array, Array, Array]:
    """Normalise every channel over the batch.

    ``y = gamma (x - mean) / sqrt(variance + epsilon) + beta``, Algorithm 1 of Ioffe and Szegedy,
    "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    2015.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
    gamma, beta : array_like, shape (C,), optional
        By default 1 and 0.
    epsilon : float
        Positive.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("batch_norm", "forward")``; by default one
        is chosen.

    Returns
    -------
    y : ndarray, shape (..., C)
    mean, variance : ndarray, shape (C,)
        Over all axes but the last; the variance is the biased one, divided by the number of rows.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes do not fit together or epsilon is not positive.
    """
    operands = as_operands("batch_norm", x=x, gamma=gamma, beta=beta)
    params = batch_norm_params(epsilon=epsilon)
    y, mean, variance = apply("batch_norm", "forward", operands, params, kernel=kernel)
    return y, mean, variance


def batch_norm_inference(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
    kernel: str | None = None,
) -> Array:
    """Normalise every channel by a mean and a variance that are given.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
    mean, variance : array_like, shape (C,)
    gamma, beta, epsilon, kernel
        As in `batch_norm`.

    Returns
    -------
    ndarray, shape (..., C)

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`.
    """
    operands = as_operands("batch_norm", x=x, mean=mean, variance=variance, gamma=gamma, beta=beta)
    params = batch_norm_params(epsilon=epsilon)
    y: Array = apply("batch_norm", "inference", operands, params, kernel=kernel)[0]
    return y


def batch_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
    training: bool = True,
    kernel: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` or, with ``training=False``, of `batch_norm_inference`.

    Parameters
    ----------
    dy, x : array_like of float32 or float64, shape (..., C)
    mean, variance : array_like, shape (C,)
        From `batch_norm`, or given to `batch_norm_inference`.
    gamma, epsilon, kernel
        As in `batch_norm`.
    training : bool
        Whether mean and variance are those of x, and so depend on it.

    Returns
    -------
    dx : ndarray, shape (..., C)
    dgamma, dbeta : ndarray, shape (C,)

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`.
    """
    operands = as_operands("batch_norm", dy=dy, x=x, mean=mean, variance=variance, gamma=gamma)
    params = batch_norm_params(epsilon=epsilon)
    which = "backward" if training else "backward_inference"
    dx, dgamma, dbeta = apply("batch_norm", which, operands, params, kernel=kernel)
    return dx, dgamma, dbeta


def batch_norm_update(
    mean: ArrayLike,
    variance: ArrayLike,
    moving_mean: ArrayLike,
    moving_variance: ArrayLike,
    *,
    momentum: float = 0.99,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """Moving statistics after one more batch: ``momentum * moving + (1 - momentum) * batch``.

    Parameters
    ----------
    mean, variance : array_like of float32 or float64, shape (C,)
        Of the batch.
    moving_mean, moving_variance : array_like, shape (C,)
        They stay as they are.
    momentum : float
        From 0 to 1.
    kernel : str, optional

    Returns
    -------
    moving_mean, moving_variance : ndarray, shape (C,)

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`.
    """
    given = {"moving_mean": moving_mean, "moving_variance": moving_variance}
    operands = as_operands("batch_norm", mean=mean, variance=variance, **given)
    operands[2:] = [None if a is None else a.copy() for a in operands[2:]]
    params = batch_norm_params(momentum=momentum)
    apply("batch_norm", "update_moving", operands, params, kernel=kernel)
    new_mean, new_variance = operands[2:]
    assert new_mean is not None and new_variance is not None
    return new_mean, new_variance
