"""scatter: values to given places of the last axis. Contract in csrc/ops/scatter/scatter.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_int, as_operand
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "scatter", "scatter_backward", "scatter_params"]

_MOST = 2**31 - 1  # places are int32


def scatter_params(size: int) -> dict[str, int]:
    """Parameters of the op: the size of the last axis of the result."""
    value = as_int("scatter", "size", size)
    if not 0 <= value <= _MOST:
        raise ValueError(f"[scatter] size must be from 0 to {_MOST}, got {value}")
    return {"size": value}


def _forward(ctx: Context, v: Array, index: Array) -> tuple[Array]:
    y = np.zeros((*v.shape[:-1], ctx["size"]))
    y[..., index] = v
    return (y,)


def _backward(ctx: Context, dy: Array, index: Array) -> tuple[Array]:
    return (dy[..., index],)


def _exact(ctx: Context, v: Array, index: Array) -> tuple[float]:
    return (0.0,)


def _check(v: Spec | None, index: Spec | None) -> tuple[Spec, Spec]:
    assert v is not None and index is not None
    if len(v.shape) < 1 or len(index.shape) != 1:
        raise ValueError(
            f"[scatter] expected values (..., M) and index (M,), got {v.shape} and {index.shape}"
        )
    return v, index


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    v, index = _check(*specs)
    if v.shape[-1] != index.shape[0]:
        raise ValueError(
            f"[scatter] v has {v.shape[-1]} values on its last axis, index has {index.shape[0]} "
            f"places (v is {v.shape}, index is {index.shape})"
        )
    size = int(params["size"])
    if index.shape[0] > size:
        raise ValueError(
            f"[scatter] {index.shape[0]} values do not have different places on an axis of {size}"
        )
    return [Spec((*v.shape[:-1], size), v.dtype)]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dy, index = _check(*specs)
    if dy.shape[-1] != params["size"]:
        raise ValueError(f"[scatter] dy has shape {dy.shape}, expected (..., {params['size']})")
    return [Spec((*dy.shape[:-1], index.shape[0]), dy.dtype)]


# fmt: off
def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    v, index = instruction.inputs
    return [*tape.emit("scatter", "backward", [gradients[0], index], params=instruction.params,
                       out=[v.spec], for_inputs=[0]), None]


OP = define(
    Op(
        "scatter",
        (
            Pass("forward", ("v", "index"), ("y",), _forward, _exact, infer=_infer),
            Pass("backward", ("dy", "index"), ("dv",), _backward, _exact, infer=_infer_backward),
        ),
        _gradient,
    )
)
# fmt: on


def _places(index: ArrayLike, size: int) -> Array:
    """The places as int32, checked: a kernel does not."""
    places = np.asarray(index)
    if places.dtype.kind not in "iu":
        raise TypeError(f"[scatter] index has dtype {places.dtype}, expected integers")
    if places.ndim == 1 and places.size:
        if places.min() < 0 or places.max() >= size:
            wrong = places[(places < 0) | (places >= size)][0]
            raise ValueError(f"[scatter] index has place {wrong}, which is outside 0..{size - 1}")
        if len(np.unique(places)) < len(places):
            raise ValueError("[scatter] index has a place twice; places must be different ones")
    return np.ascontiguousarray(places, np.int32)


def scatter(v: ArrayLike, index: ArrayLike, size: int, *, kernel: str | None = None) -> Array:
    """Put values to given places of the last axis, and zeros elsewhere.

    Parameters
    ----------
    v : array_like of float32 or float64, shape (..., M)
    index : array_like of int, shape (M,)
        Different places, from 0 to ``size - 1``.
    size : int
        Of the last axis of the result.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("scatter", "forward")``.

    Returns
    -------
    ndarray, shape (..., size)
        ``y[..., index[m]] = v[..., m]``.

    Raises
    ------
    TypeError
        If `v` is neither float32 nor float64, or `index` is not of integers.
    ValueError
        If a place is outside or there twice, or the shapes do not fit together.
    """
    params = scatter_params(size)
    va, places = as_operand("scatter", "v", v), _places(index, params["size"])
    y: Array = apply("scatter", "forward", [va, places], params, kernel=kernel)[0]
    return y


def scatter_backward(dy: ArrayLike, index: ArrayLike, *, kernel: str | None = None) -> Array:
    """Gradient of `scatter`: ``dv[..., m] = dy[..., index[m]]``.

    Parameters
    ----------
    dy : array_like, shape (..., size)
    index, kernel
        As in `scatter`.

    Returns
    -------
    ndarray, shape (..., M)

    Raises
    ------
    TypeError, ValueError
        As `scatter`.
    """
    dya = as_operand("scatter", "dy", dy)
    params = scatter_params(dya.shape[-1] if dya.ndim else 0)
    places = _places(index, params["size"])
    dv: Array = apply("scatter", "backward", [dya, places], params, kernel=kernel)[0]
    return dv
