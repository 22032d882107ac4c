"""hopfield: networks of two-valued neurons. Contract in csrc/ops/hopfield/hopfield.h."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define

__all__ = [
    "OP",
    "check_symmetric",
    "hopfield_asynchronous",
    "hopfield_energy",
    "hopfield_params",
    "hopfield_synchronous",
]

_EPS = 2.0**-23  # of float32


def _update(ctx: Context, h: Array, s: Array) -> Array:
    """Values after an update in the fields h; a field of 0 changes nothing."""
    return np.asarray(np.where(h > 0, ctx["high"], np.where(h < 0, ctx["low"], s)))


def _asynchronous(
    ctx: Context, w: Array, b: Array | None, order: Array, s: Array
) -> tuple[Array, Array]:
    b = np.zeros(len(w)) if b is None else b
    s = s.copy()
    flips = np.zeros(len(s), np.int64)
    for i in order:
        new = _update(ctx, s @ w[i] + b[i], s[:, i])
        flips += new != s[:, i]
        s[:, i] = new
    return s, flips


def _synchronous(ctx: Context, w: Array, b: Array | None, s: Array) -> tuple[Array, Array]:
    y = _update(ctx, s @ w.T + (0 if b is None else b), s)
    return y, (y != s).sum(axis=1)


def _energy(ctx: Context, w: Array, b: Array | None, s: Array) -> tuple[Array]:
    return (-((s @ w.T / 2 + (0 if b is None else b)) * s).sum(axis=1),)


# An update is a decision, so its result is right or wrong: the bound is 0 where the sign of the
# field is certain and infinite where rounding may turn it. Whole numbers add up exactly.
def _magnitudes(ctx: Context, w: Array, b: Array | None, s: Array) -> Array:
    """Largest fields that neurons can have, or 0 where every sum is exact."""
    peak = max(abs(ctx["low"]), abs(ctx["high"]), np.abs(s).max(initial=0))
    largest = peak * np.abs(w).sum(axis=1) + (0 if b is None else np.abs(b))
    arrays = [w, s] if b is None else [w, b, s]
    whole = all((a == np.rint(a)).all() for a in arrays)
    whole = whole and ctx["low"] == int(ctx["low"]) and ctx["high"] == int(ctx["high"])
    exact = whole and 2 * largest.max(initial=0) < 2**24
    return np.zeros_like(largest) if exact else np.asarray(largest)


def _asynchronous_bound(
    ctx: Context, w: Array, b: Array | None, order: Array, s: Array
) -> tuple[Array, Array]:
    largest = _magnitudes(ctx, w, b, s)
    b = np.zeros(len(w)) if b is None else b
    s = s.copy()
    flips = np.zeros(len(s), np.int64)
    uncertain = np.zeros(len(s), bool)
    for i in order:
        h = s @ w[i] + b[i]
        # A sum of N + 1 terms, then per flip a product (of up to 2 largest) and a sum.
        uncertain |= np.abs(h) < _EPS * (len(w) + 2 + 4 * flips) * largest[i]
        new = _update(ctx, h, s[:, i])
        flips += new != s[:, i]
        s[:, i] = new
    bound = np.where(uncertain, np.inf, 0.0)
    return np.broadcast_to(bound[:, None], s.shape), bound


def _synchronous_bound(ctx: Context, w: Array, b: Array | None, s: Array) -> tuple[Array, Array]:
    h = s @ w.T + (0 if b is None else b)
    bound = np.where(np.abs(h) < _EPS * (len(w) + 2) * _magnitudes(ctx, w, b, s), np.inf, 0.0)
    return bound, bound.max(axis=1, initial=0)


def _energy_bound(ctx: Context, w: Array, b: Array | None, s: Array) -> tuple[Array]:
    size = np.abs(s)
    terms = (size @ np.abs(w).T / 2 + (0 if b is None else np.abs(b))) * size
    return ((2 * len(w) + 4) * terms.sum(axis=1),)


def _check_shapes(w: Spec, b: Spec | None, s: Spec) -> None:
    n = w.shape[0] if w.shape else 0
    if w.shape != (n, n):
        raise ValueError(f"[hopfield] w has shape {w.shape}, expected (N, N)")
    if b is not None and b.shape != (n,):
        raise ValueError(f"[hopfield] b has shape {b.shape}, w {w.shape}; expected ({n},)")
    if len(s.shape) != 2 or s.shape[1] != n:
        raise ValueError(
            f"[hopfield] states have shape {s.shape}, w {w.shape}; expected (B, {n}): "
            "one row per state, one column per neuron"
        )


def _infer_asynchronous(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    w, b, order, s = specs
    assert w is not None and order is not None and s is not None
    _check_shapes(w, b, s)
    if len(order.shape) != 1 or order.dtype != "int64":
        raise ValueError(
            f"[hopfield] order is {order.dtype}{order.shape}, expected int64 of shape (L,)"
        )
    return [Spec((s.shape[0],), "int64")]


def _infer_synchronous(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    w, b, s = specs
    assert w is not None and s is not None
    _check_shapes(w, b, s)
    return [s, Spec((s.shape[0],), "int64")]


def _infer_energy(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    w, b, s = specs
    assert w is not None and s is not None
    _check_shapes(w, b, s)
    return [Spec((s.shape[0],), "float64")]


def _flops(params: Params, inputs: Sequence[Spec | None], out: Sequence[Spec | None]) -> int:
    """Products and sums of one field for every neuron, which is what a sweep is about."""
    w, s = inputs[0], inputs[-1]
    assert w is not None and s is not None
    return 2 * s.size * w.shape[0]


OP = define(
    Op(
        "hopfield",
        (
            Pass(
                "asynchronous",
                ("w", "b?", "order"),
                ("flips",),
                _asynchronous,
                _asynchronous_bound,
                updates=("s",),
                infer=_infer_asynchronous,
                flops=_flops,
            ),
            Pass(
                "synchronous",
                ("w", "b?", "s"),
                ("y", "flips"),
                _synchronous,
                _synchronous_bound,
                infer=_infer_synchronous,
                flops=_flops,
            ),
            Pass(
                "energy",
                ("w", "b?", "s"),
                ("e",),
                _energy,
                _energy_bound,
                infer=_infer_energy,
                flops=_flops,
            ),
        ),
    )
)


def hopfield_params(low: float = -1.0, high: float = 1.0) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        Unless low < high, both finite.
    """
    low, high = float(low), float(high)
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"[hopfield] values are {low} and {high}, expected low < high")
    return {"low": low, "high": high}


def check_symmetric(w: Array) -> None:
    """Refuse a matrix that is not its transpose, NaN being equal to NaN.

    Raises
    ------
    ValueError
        Naming the first pair of weights that differ.
    """
    differ = (w != w.T) & ~(np.isnan(w) & np.isnan(w.T))
    if differ.any():
        i, j = (int(k) for k in np.argwhere(differ)[0])
        raise ValueError(
            f"[hopfield] w is not symmetric: w[{i}, {j}] is {w[i, j]:.9g}, w[{j}, {i}] is "
            f"{w[j, i]:.9g}; the mean of both is (w + w.T) / 2"
        )


def _operands(
    w: ArrayLike, s: ArrayLike, b: ArrayLike | None, symmetric: bool
) -> tuple[Array, Array | None, Array, tuple[int, ...]]:
    """w, b and the states as (B, N), checked, and the shape that the states came in."""
    wa, sa = as_operand("hopfield", "w", w), as_operand("hopfield", "s", s)
    ba = None if b is None else as_operand("hopfield", "b", b)
    same_dtype("hopfield", w=wa, b=ba, s=sa)
    states = sa.reshape(1, -1) if sa.ndim == 1 else sa
    specs = [None if a is None else Spec(a.shape, a.dtype.name) for a in (wa, ba, states)]
    assert specs[0] is not None and specs[2] is not None
    _check_shapes(specs[0], specs[1], specs[2])
    if symmetric:
        check_symmetric(wa)
    return wa, ba, states, sa.shape


def _check_alphabet(s: Array, params: Params) -> None:
    low, high = (s.dtype.type(params[name]) for name in ("low", "high"))
    strange = ~((s == low) | (s == high))
    if strange.any():
        at = tuple(int(i) for i in np.argwhere(strange)[0])
        raise ValueError(
            f"[hopfield] state {at[0]} has {s[at]:.9g} at neuron {at[1]}, expected "
            f"{low:g} or {high:g}"
        )


def hopfield_asynchronous(
    w: ArrayLike,
    s: ArrayLike,
    order: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    low: float = -1.0,
    high: float = 1.0,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """Update the neurons of Hopfield networks one after another (Hopfield 1982).

    Neuron i becomes `high` where its field ``w[i] @ s + b[i]`` is positive, `low` where it is
    negative, and stays as it is where the field is 0. With no negative ``w[i, i]``, no update
    raises the energy.

    Parameters
    ----------
    w : array_like of float32 or float64, shape (N, N)
        Symmetric weights.
    s : array_like, shape (N,) or (B, N)
        A state, or a batch of them; they stay as they are.
    order : array_like of int, shape (L,), optional
        Which neuron is updated when, the same in every state; by default 0 to N - 1, one sweep.
    b : array_like, shape (N,), optional
        Biases: minus the thresholds of the neurons.
    low, high : float
        The two values of a neuron.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("hopfield", "asynchronous")``; by default one
        is chosen.

    Returns
    -------
    s : ndarray of s's shape
        The new states.
    flips : ndarray of int64, shape () or (B,)
        How many updates changed a value.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, the dtypes differ, or the order is not of ints.
    ValueError
        If the shapes do not fit, w is not symmetric, a state has a value that is neither `low` nor
        `high`, or `order` names a neuron that is not there.
    """
    params = hopfield_params(low, high)
    wa, ba, states, shape = _operands(w, s, b, symmetric=True)
    _check_alphabet(states, params)
    states = states.copy()
    n = len(wa)
    steps = np.arange(n) if order is None else np.asarray(order)
    if steps.dtype.kind not in "iu" and steps.size:
        raise TypeError(f"[hopfield] order has dtype {steps.dtype}, expected neurons as ints")
    if steps.size and not 0 <= int(steps.min()) <= int(steps.max()) < n:
        raise ValueError(
            f"[hopfield] order has neurons {steps.min()} to {steps.max()}, w {wa.shape}; "
            f"expected 0 to {n - 1}"
        )
    steps = np.ascontiguousarray(steps, np.int64)
    (flips,) = apply("hopfield", "asynchronous", [wa, ba, steps, states], params, kernel=kernel)
    return states.reshape(shape), flips.reshape(shape[:-1])


def hopfield_synchronous(
    w: ArrayLike,
    s: ArrayLike,
    b: ArrayLike | None = None,
    *,
    low: float = -1.0,
    high: float = 1.0,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """Update all neurons of Hopfield networks at once, each by its field in the old state.

    Repeated, with symmetric weights, this ends in a fixed point or in a cycle of two states
    (Goles, Fogelman and Pellegrin 1985).

    Parameters
    ----------
    w : array_like of float32 or float64, shape (N, N)
        Weights, which need not be symmetric for a step.
    s, b, low, high
        As `hopfield_asynchronous`.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("hopfield", "synchronous")``; by default one
        is chosen.

    Returns
    -------
    y : ndarray of s's shape
        The new states.
    flips : ndarray of int64, shape () or (B,)
        In how many neurons they differ from the old ones.

    Raises
    ------
    TypeError, ValueError
        As `hopfield_asynchronous`.
    """
    params = hopfield_params(low, high)
    wa, ba, states, shape = _operands(w, s, b, symmetric=False)
    _check_alphabet(states, params)
    y, flips = apply("hopfield", "synchronous", [wa, ba, states], params, kernel=kernel)
    return y.reshape(shape), flips.reshape(shape[:-1])


def hopfield_energy(
    w: ArrayLike, s: ArrayLike, b: ArrayLike | None = None, *, kernel: str | None = None
) -> Array:
    """Energy ``-1/2 s @ w @ s - b @ s`` of the states of Hopfield networks.

    Parameters
    ----------
    w : array_like of float32 or float64, shape (N, N)
        Symmetric weights.
    s : array_like, shape (N,) or (B, N)
        States, of any values.
    b : array_like, shape (N,), optional
        Biases.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("hopfield", "energy")``; by default one is chosen.

    Returns
    -------
    ndarray of float64, shape () or (B,)

    Raises
    ------
    TypeError, ValueError
        As `hopfield_asynchronous`.
    """
    wa, ba, states, shape = _operands(w, s, b, symmetric=True)
    (e,) = apply("hopfield", "energy", [wa, ba, states], hopfield_params(), kernel=kernel)
    return np.asarray(e.reshape(shape[:-1]))
