"""update: one optimiser step. Contract in csrc/ops/update/update.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_int, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Step, define

__all__ = ["OP", "adam", "clip_by_global_norm", "sgd", "update_params"]


def _decay(ctx: Context, g: Array, w: Array, eta: float) -> tuple[Array, Array]:
    """Gradient and weight after weight decay."""
    d = ctx["weight_decay"]
    if d == 0:  # 0 * w would make NaN of an infinite w
        return g, w
    return (g, w - eta * d * w) if ctx["decoupled"] else (g + d * w, w)


def _sgd(ctx: Context, g: Array, v: Array | None, w: Array) -> tuple[Array | None, Array]:
    eta, momentum = ctx.step.learning_rate * ctx["lr_scale"], ctx["momentum"]
    g, w = _decay(ctx, g, w, eta)
    if momentum == 0:
        return v, w - eta * g
    assert v is not None
    v = momentum * v - eta * g
    return v, w + (momentum * v - eta * g if ctx["nesterov"] else v)


def _rate(ctx: Context) -> float:
    """Adam's step size, with the bias corrections."""
    t = ctx.step.step + 1
    eta = ctx.step.learning_rate * ctx["lr_scale"]
    return float(eta * np.sqrt(1 - ctx["beta2"] ** t) / (1 - ctx["beta1"] ** t))


def _adam(ctx: Context, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array, Array]:
    g, w = _decay(ctx, g, w, ctx.step.learning_rate * ctx["lr_scale"])
    with np.errstate(all="ignore"):  # a gradient that is not finite
        m = m + (g - m) * (1 - ctx["beta1"])
        v = v + (g * g - v) * (1 - ctx["beta2"])
        return m, v, w - _rate(ctx) * m / (np.sqrt(v) + ctx["epsilon"])


def _global_norm(ctx: Context, *g: Array) -> tuple[Array]:
    return (np.sqrt(np.array([sum(float((a * a).sum()) for a in g)])),)


def _clip_norm(ctx: Context, norm: Array, g: Array) -> tuple[Array]:
    return (g * (ctx["max_norm"] / norm[0]) if norm[0] > ctx["max_norm"] else g,)


# A sum of n squares, in any order, is within n eps of itself (Higham 2002, eq. 4.4); the root
# halves that.
def _global_norm_bound(ctx: Context, *g: Array) -> tuple[Any]:
    n = sum(a.size for a in g)
    return ((n / 2 + 2) * _global_norm(ctx, *g)[0],)


def _clip_norm_bound(ctx: Context, norm: Array, g: Array) -> tuple[Any]:
    return (4 * np.abs(_clip_norm(ctx, norm, g)[0]) if norm[0] > ctx["max_norm"] else 0.0,)


# Rounding bounds, first order, in units of eps: every parameter is rounded to the dtype, then every
# operation adds one. Plain sgd (no momentum, no decay) has a stronger promise, which a test
# asserts: the bits of NumPy's `w - lr * g` in the working dtype.
def _magnitudes(ctx: Context, g: Array, w: Array, eta: float) -> tuple[Array, Array]:
    """Bound of |g| after decay, and of the error of w after decay."""
    d = ctx["weight_decay"]
    if ctx["decoupled"]:
        return np.abs(g), 2 * np.abs(w) + 8 * eta * d * np.abs(w)
    return np.abs(g) + d * np.abs(w), 2 * np.abs(w)


def _sgd_bound(ctx: Context, g: Array, v: Array | None, w: Array) -> tuple[Any, Any]:
    eta, momentum = abs(ctx.step.learning_rate * ctx["lr_scale"]), ctx["momentum"]
    size, of_w = _magnitudes(ctx, g, w, eta)
    old = 0 if v is None else np.abs(v)
    if momentum == 0:
        return 0.0, of_w + 10 * eta * size
    of_v = 4 * momentum * old + 10 * eta * size
    factor = momentum if ctx["nesterov"] else 1.0
    step = factor * (momentum * old + eta * size) + eta * size
    return of_v, of_w + factor * of_v + 10 * step


def _adam_bound(ctx: Context, g: Array, m: Array, v: Array, w: Array) -> tuple[Any, Any, Any]:
    eta, rate = abs(ctx.step.learning_rate * ctx["lr_scale"]), abs(_rate(ctx))
    one_beta1, one_beta2 = 1 - ctx["beta1"], 1 - ctx["beta2"]
    size, of_w = _magnitudes(ctx, g, w, eta)
    of_m = 10 * one_beta1 * (size + np.abs(m)) + np.abs(m)
    of_v = 16 * one_beta2 * (size * size + np.abs(v)) + np.abs(v)
    new_m, new_v, _ = _adam(ctx, g, m, v, w)
    root = np.sqrt(new_v)
    below = root + ctx["epsilon"]
    # d sqrt(v) = dv / (2 sqrt(v)); v and its error are 0 together.
    of_root = np.divide(of_v, 2 * root, out=np.zeros_like(root), where=root > 0)
    of_step = of_m / below + np.abs(new_m) / below * (of_root / below + 10)
    return of_m, of_v, of_w + 2 * rate * of_step


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    given = [spec for spec in specs if spec is not None]
    if any(spec != given[0] for spec in given):
        shapes = ", ".join(f"{spec.dtype}{spec.shape}" for spec in given)
        raise ValueError(
            f"[update] gradient, state and weight differ: {shapes}; they must be alike"
        )
    if "momentum" in params and params["momentum"] and specs[1] is None:
        raise ValueError("[update] momentum needs a velocity")
    return []


def _infer_norm(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dtypes = {spec.dtype for spec in specs if spec is not None}
    if len(dtypes) != 1:
        raise ValueError(f"[update] a norm needs gradients of one dtype, got {sorted(dtypes)}")
    return [Spec((1,), *dtypes)]


OP = define(
    Op(
        "update",
        (
            Pass("sgd", ("g",), (), _sgd, _sgd_bound, updates=("v?", "w"), infer=_infer),
            Pass("adam", ("g",), (), _adam, _adam_bound, updates=("m", "v", "w"), infer=_infer),
            Pass(
                "global_norm",
                ("g*",),
                ("norm",),
                _global_norm,
                _global_norm_bound,
                infer=_infer_norm,
            ),
            Pass(
                "clip_norm",
                ("norm",),
                (),
                _clip_norm,
                _clip_norm_bound,
                updates=("g",),
                infer=lambda params, specs: [],
            ),
        ),
    )
)


def update_params(
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    lr_scale: float = 1.0,
    max_norm: float = float("inf"),
) -> dict[str, int | float | str]:
    """Parameters of the op, checked: all passes take all of them.

    Raises
    ------
    ValueError
        If one is out of its range.
    """
    for name, value in (("momentum", momentum), ("beta1", beta1), ("beta2", beta2)):
        if not 0 <= value < 1:
            raise ValueError(f"[update] {name} is {value}, expected 0 <= {name} < 1")
    for name, value in (("epsilon", epsilon), ("weight_decay", weight_decay)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"[update] {name} is {value}, expected a number >= 0")
    if not max_norm > 0:
        raise ValueError(f"[update] max_norm is {max_norm}, expected a number > 0")
    return {
        "momentum": float(momentum),
        "nesterov": int(nesterov),
        "beta1": float(beta1),
        "beta2": float(beta2),
        "epsilon": float(epsilon),
        "weight_decay": float(weight_decay),
        "decoupled": int(decoupled),
        "lr_scale": float(lr_scale),
        "max_norm": float(max_norm),
    }


def _copies(
    g: ArrayLike, w: ArrayLike, **state: ArrayLike | None
) -> tuple[Array, Array, list[Array]]:
    """g, and copies of w and the state (zeros where it is absent), checked."""
    ga, wa = as_operand("update", "g", g), as_operand("update", "w", w).copy()
    arrays = [
        np.zeros_like(wa) if value is None else as_operand("update", name, value).copy()
        for name, value in state.items()
    ]
    same_dtype("update", g=ga, w=wa, **dict(zip(state, arrays, strict=True)))
    return ga, wa, arrays


def sgd(
    g: ArrayLike,
    w: ArrayLike,
    velocity: ArrayLike | None = None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    kernel: str | None = None,
) -> tuple[Array, Array | None]:
    """One step of stochastic gradient descent, in Keras's form.

    Without momentum ``w -= learning_rate * g``; with it ``v = momentum * v - learning_rate * g``
    and ``w += v``.

    Parameters
    ----------
    g : array_like of float32 or float64
        Gradient.
    w : array_like of g's shape
        Weights; they stay as they are.
    velocity : array_like of g's shape, optional
        With momentum; zeros by default.
    learning_rate, momentum : float
    nesterov : bool
        Look ahead: ``w += momentum * v - learning_rate * g``.
    weight_decay : float
        Share of the weights taken off: with ``decoupled``, times the learning rate, beside the
        step (Loshchilov and Hutter 2019), else through the gradient (L2 regularisation).
    decoupled : bool
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("update", "sgd")``; by default the first that fits.

    Returns
    -------
    w : ndarray
        The new weights.
    velocity : ndarray or None
        The new velocity, None without momentum.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes differ or a number is out of its range.
    """
    params = update_params(
        momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, decoupled=decoupled
    )
    if momentum:
        ga, wa, (va,) = _copies(g, w, velocity=velocity)
    else:
        ga, wa, _ = _copies(g, w)
        va = None
    step = Step(learning_rate=float(learning_rate))
    apply("update", "sgd", [ga, va, wa], params, kernel=kernel, step=step)
    return wa, va


def adam(
    g: ArrayLike,
    w: ArrayLike,
    m: ArrayLike | None = None,
    v: ArrayLike | None = None,
    *,
    step: int = 0,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    kernel: str | None = None,
) -> tuple[Array, Array, Array]:
    """One step of Adam (Kingma and Ba 2015); with decoupled weight decay, of AdamW.

    Parameters
    ----------
    g : array_like of float32 or float64
        Gradient.
    w : array_like of g's shape
        Weights; they stay as they are.
    m, v : array_like of g's shape, optional
        First and second moment; zeros by default.
    step : int
        Steps done before: 0 in the first one; below 2**62.
    learning_rate, beta1, beta2, epsilon : float
    weight_decay, decoupled
        As `sgd`.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("update", "adam")``; by default the first that fits.

    Returns
    -------
    w, m, v : ndarray
        The new weights and moments.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    params = update_params(
        beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay, decoupled=decoupled
    )
    step = as_int("update", "step", step)
    if not 0 <= step < 1 << 62:
        raise ValueError(f"[update] step is {step}, expected 0 <= step < 2**62")
    ga, wa, (ma, va) = _copies(g, w, m=m, v=v)
    block = Step(step=step, learning_rate=float(learning_rate))
    apply("update", "adam", [ga, ma, va, wa], params, kernel=kernel, step=block)
    return wa, ma, va


def clip_by_global_norm(
    g: Sequence[ArrayLike], max_norm: float, *, kernel: str | None = None
) -> tuple[list[Array], float]:
    """Scale gradients down to a norm of `max_norm` if theirs, taken together, is larger.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013,
    algorithm 1.

    Parameters
    ----------
    g : sequence of array_like of float32 or float64
        Gradients; they stay as they are.
    max_norm : float
        Larger than 0.
    kernel : str, optional
        Name of a row of both passes, global_norm and clip_norm; by default the first that fits.

    Returns
    -------
    g : list of ndarray
    norm : float
        The 2-norm of all values before.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If there is no gradient, or `max_norm` is not larger than 0.
    """
    params = update_params(max_norm=max_norm)
    arrays = [as_operand("update", f"g[{i}]", a).copy() for i, a in enumerate(g)]
    if not arrays:
        raise ValueError("[update] clip_by_global_norm needs at least one gradient, got none")
    same_dtype("update", **{f"g[{i}]": a for i, a in enumerate(arrays)})
    norm = apply("update", "global_norm", arrays, params, kernel=kernel)[0]
    for a in arrays:
        apply("update", "clip_norm", [norm, a], params, kernel=kernel)
    return arrays, float(norm[0])
