"""through: a backward pass that makes the gradient of an activation's result also passes it back.

The input of a convolution, a dense layer or a pooling is often what an activation gave. Its
gradient dx is then multiplied by the activation's derivative, which is a function of x; the pass
that makes dx does so while it is in the cache. Three ops share this: an operand `x`, absent where
there is nothing to do, and two parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops import registry
from convkit.ops.activation import (
    FROM_OUTPUT,
    activation_params,
    derivative_from_output,
    from_output_bound,
)
from convkit.ops.apply import as_operand, same_dtype
from convkit.ops.registry import Array, Context, Spec

__all__ = ["goes_through", "through_bound", "through_input", "through_operand", "through_params"]


def goes_through(op: str, pass_name: str) -> bool:
    """Whether a pass makes the gradient of its op's input and can multiply it by a derivative."""
    rule = registry.get(op)[pass_name]
    return rule.inputs[-1:] == ("x?",) and rule.outputs == ("dx",)


def through_params(through: str | None = None, alpha: float | None = None) -> dict[str, Any]:
    """Parameters of the activation that gave an op's input; by default none did.

    Parameters
    ----------
    through : str, optional
        One of `FROM_OUTPUT`; None is "linear".
    alpha : float, optional
        As in `activation_params`.

    Returns
    -------
    dict
        ``{"through": name, "through_alpha": float}``

    Raises
    ------
    ValueError
        If the name is unknown or `alpha` does not fit it.
    """
    params = activation_params(through, alpha)
    return {"through": params["activation"], "through_alpha": params["alpha"]}


def through_operand(
    op: str,
    x: ArrayLike | None,
    out: Spec,
    through: str | None,
    alpha: float | None,
) -> tuple[Array | None, dict[str, Any]]:
    """The operand and the parameters from the arguments of a public function, checked.

    Parameters
    ----------
    op : str
    x : array_like or None
        What the activation gave.
    out : Spec
        Of dx.
    through, alpha
        As in `through_params`.

    Returns
    -------
    x : ndarray or None
    params : dict

    Raises
    ------
    TypeError, ValueError
        If only one of `x` and `through` is given, the derivative is no function of x, or shape or
        dtype differ from those of dx.
    """
    params = through_params(through, alpha)
    kind = params["through"]
    if kind == "linear":
        if x is not None:
            raise ValueError(
                f"[{op}] x is given, but not the activation that it came from; pass through='relu' "
                "or another, or leave x out"
            )
        return None, params
    if kind not in FROM_OUTPUT:
        raise ValueError(
            f"[{op}] through={kind!r}: its derivative needs what it was applied to, and x is its "
            "result; use activation_backward"
        )
    if x is None:
        raise ValueError(
            f"[{op}] through={kind!r} needs x, the result of that activation, of shape {out.shape}"
        )
    xa = as_operand(op, "x", x)
    if xa.shape != out.shape:
        raise ValueError(f"[{op}] x has shape {xa.shape}, expected that of dx, {out.shape}")
    same_dtype(op, dx=np.empty(0, out.dtype), x=xa)
    return xa, params


def through_input(ctx: Context, dx: Array, x: Array | None) -> Array:
    """Reference: a gradient, times the derivative of what gave x."""
    kind = ctx["through"]
    if kind == "linear":
        return dx
    assert x is not None
    return dx * derivative_from_output(x, kind, ctx["through_alpha"])


def through_bound(ctx: Context, dx: Array, bound: Array, x: Array | None) -> Array:
    """Bound of ``dx f'`` where dx itself is within ``eps * bound``.

    Its error is multiplied by the derivative, and the product has the error of a derivative that is
    computed, for a dx that may be larger by as much.
    """
    kind, alpha = ctx["through"], ctx["through_alpha"]
    if kind == "linear":
        return bound
    assert x is not None and ctx.out[0] is not None
    largest = np.abs(dx) + float(np.finfo(ctx.out[0].dtype).eps) * bound
    with np.errstate(all="ignore"):
        carried = np.where(bound == 0, 0.0, np.abs(derivative_from_output(x, kind, alpha)) * bound)
        return carried + from_output_bound(ctx, kind, alpha, largest, x)
