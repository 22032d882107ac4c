"""mask: which steps of sequences count. Contract in csrc/ops/mask/mask.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_mask, as_operand
from convkit.ops.registry import DTYPES, Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = [
    "OP", "find_mask", "mask_params", "mask_steps", "mask_steps_backward", "mask_weight",
    "reverse_mask",
]  # fmt: skip


def _find(ctx: Context, x: Array) -> tuple[Array]:
    with np.errstate(over="ignore"):
        differs = x.astype(np.float32) != np.float32(ctx["value"])
    return (differs.any(axis=tuple(range(2, x.ndim))).astype(np.uint8),)


def _reverse(ctx: Context, mask: Array) -> tuple[Array]:
    return (mask[:, ::-1],)


def _weight(ctx: Context, mask: Array, weight: Array | None = None) -> tuple[Array]:
    count = int(np.count_nonzero(mask))
    factor = mask.size / max(count, 1) if ctx["mean"] else 1.0
    assert ctx.out[0] is not None
    shape = ctx.out[0].shape
    ones = np.ones(shape) if weight is None else weight
    counts = mask.reshape(*mask.shape, *(1,) * (len(shape) - 2)) != 0
    return (np.where(counts, ones * factor, 0),)


def _apply(ctx: Context, x: Array, mask: Array) -> tuple[Array]:
    return (np.where(mask.reshape(*mask.shape, *(1,) * (x.ndim - 2)) != 0, x, 0),)


def _exact(ctx: Context, *arrays: Array | None) -> tuple[Any]:
    return (0.0,)


# The factor's rounding to the dtype, and the product.
def _weight_bound(ctx: Context, mask: Array, weight: Array | None = None) -> tuple[Any]:
    return (3 * np.abs(_weight(ctx, mask, weight)[0]) if ctx["mean"] else 0.0,)


def _sequences(name: str, spec: Spec | None) -> Spec:
    assert spec is not None
    if len(spec.shape) < 2:
        raise ValueError(f"[mask] {name} must be (N, T, ...), got {spec.shape}")
    return spec


def _check_mask(mask: Spec | None, steps: tuple[int, ...], of: str) -> Spec:
    assert mask is not None
    if mask.dtype != "uint8":
        raise TypeError(f"[mask] mask has dtype {mask.dtype}, expected uint8")
    if mask.shape != steps:
        raise ValueError(f"[mask] mask has shape {mask.shape}, expected {steps} ({of})")
    return mask


def _infer_find(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = _sequences("x", specs[0])
    return [Spec(x.shape[:2], "uint8")]


def _infer_reverse(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    mask = _sequences("mask", specs[0])
    return [_check_mask(mask, mask.shape[:2], "a step is one number")]


def _infer_apply(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = _sequences("x", specs[0])
    _check_mask(specs[1], x.shape[:2], f"x is {x.shape}")
    return [x]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    assert instruction.pass_name == "forward", "the other passes have no derivative"
    mask = instruction.inputs[1]
    dx = tape.emit(
        "mask", "backward", [gradients[0], mask], params=instruction.params, for_inputs=[0]
    )
    return [*dx, None]


# fmt: off
OP = define(
    Op(
        "mask",
        (
            Pass("find", ("x",), ("mask",), _find, _exact, infer=_infer_find),
            Pass("reverse", ("mask",), ("reversed",), _reverse, _exact, infer=_infer_reverse),
            Pass("weight", ("mask", "weight?"), ("y",), _weight, _weight_bound),
            Pass("forward", ("x", "mask"), ("y",), _apply, _exact, infer=_infer_apply,
                 inplace=(("y", "x"),)),
            Pass("backward", ("dy", "mask"), ("dx",), _apply, _exact, infer=_infer_apply,
                 inplace=(("dx", "dy"),)),
        ),
        _gradient,
    )
)
# fmt: on


def mask_params(value: float = 0.0, *, mean: bool = False) -> dict[str, int | float | str]:
    """Parameters of the op."""
    return {"value": float(value), "mean": int(mean)}


def find_mask(x: ArrayLike, value: float = 0.0, *, kernel: str | None = None) -> Array:
    """Which steps of sequences hold anything but `value`.

    Parameters
    ----------
    x : array_like of uint8, int32, int64, float32 or float64, shape (N, T, ...)
    value : float
        Compared in float32.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("mask", "find")``; by default one is chosen.

    Returns
    -------
    ndarray of uint8, shape (N, T)
        1 for a step with another value somewhere, NaN among them; 0 for a step of `value` alone.

    Raises
    ------
    TypeError
        If the dtype is none of those above.
    ValueError
        If x has fewer than two axes.
    """
    xa = as_operand("mask", "x", np.asarray(x), DTYPES)
    mask: Array = apply("mask", "find", [xa], mask_params(value), kernel=kernel)[0]
    return mask


def reverse_mask(mask: ArrayLike, *, kernel: str | None = None) -> Array:
    """The mask of the same sequences in the opposite order of time.

    Parameters
    ----------
    mask : array_like of bool or uint8, shape (N, T)
    kernel : str, optional

    Returns
    -------
    ndarray of uint8, shape (N, T)

    Raises
    ------
    TypeError, ValueError
        If dtype or shape is another.
    """
    operands = [as_mask("mask", mask)]
    turned: Array = apply("mask", "reverse", operands, mask_params(), kernel=kernel)[0]
    return turned


def mask_weight(
    mask: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    mean: bool = False,
    dtype: str = "float32",
    kernel: str | None = None,
) -> Array:
    """Weights of steps: 0 where the mask leaves a step out.

    Parameters
    ----------
    mask : array_like of bool or uint8, shape (N, T)
    weight : array_like of float32 or float64, shape (N, T, ...), optional
        By default 1 everywhere, (N, T).
    mean : bool
        Multiply by N T over the number of steps that count: the weighted sum divided by N T is
        then the mean over these, as Keras's losses have it.
    dtype : {"float32", "float64"}
        Of the result, if no weight is given.
    kernel : str, optional

    Returns
    -------
    ndarray, shape (N, T, ...)
        All 0 if no step counts.

    Raises
    ------
    TypeError, ValueError
        If a dtype or a shape does not fit.
    """
    ma = as_mask("mask", mask)
    wa = None if weight is None else as_operand("mask", "weight", weight)
    steps = _sequences("mask", Spec(ma.shape, "uint8"))
    if wa is not None and wa.shape[:2] != ma.shape:
        raise ValueError(
            f"[mask] weight has shape {wa.shape}, expected {ma.shape}, the mask's, or more axes"
        )
    out = [Spec(steps.shape, np.dtype(dtype).name)]
    if wa is not None:
        out = [Spec(wa.shape, wa.dtype.name)]
    if out[0].dtype not in ("float32", "float64"):
        raise TypeError(f"[mask] dtype is {out[0].dtype}, expected float32 or float64")
    y: Array = apply("mask", "weight", [ma, wa], mask_params(mean=mean), out=out, kernel=kernel)[0]
    return y


def mask_steps(x: ArrayLike, mask: ArrayLike, *, kernel: str | None = None) -> Array:
    """X with zeros in the steps that the mask leaves out.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, T, ...)
    mask : array_like of bool or uint8, shape (N, T)
    kernel : str, optional

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        If a dtype or a shape does not fit.
    """
    operands = [as_operand("mask", "x", x), as_mask("mask", mask)]
    y: Array = apply("mask", "forward", operands, mask_params(), kernel=kernel)[0]
    return y


def mask_steps_backward(dy: ArrayLike, mask: ArrayLike, *, kernel: str | None = None) -> Array:
    """Gradient of `mask_steps` with respect to x: dy in the steps that count, else 0.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (N, T, ...)
    mask : array_like of bool or uint8, shape (N, T)
    kernel : str, optional

    Returns
    -------
    ndarray of dy's shape

    Raises
    ------
    TypeError, ValueError
        As `mask_steps`.
    """
    operands = [as_operand("mask", "dy", dy), as_mask("mask", mask)]
    dx: Array = apply("mask", "backward", operands, mask_params(), kernel=kernel)[0]
    return dx
