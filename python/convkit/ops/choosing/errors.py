"""Error bounds of rows, in units of the bound of their pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from convkit.ops import registry
from convkit.ops.choosing.convolutions import convolution_of
from convkit.ops.products import product_of, rounded_units
from convkit.ops.registry import Context, Params, Row, Spec

__all__ = ["error_units"]

_PIXELS = 20_000  # enough for the bounds of longer sums to have the same ratio


def error_units(row: Row, specs: Sequence[Spec | None], params: Params) -> float:
    """How many times the error bound of its pass the bound of a row is.

    Both are bounds of the rounding error, elementwise; this is the largest ratio for operands of
    one magnitude and random signs, in the midst of an image. Rounded operands count the less, the
    longer the sums are: the bound of the pass grows with these. Winograd's products are of sums of
    values, which its matrices enlarge; a gradient of weights has fewer of them to add up.

    Parameters
    ----------
    row : Row
    specs : sequence of Spec or None
        Of all operands.
    params : mapping

    Returns
    -------
    float
        1 for a row that obeys the bound of the pass.
    """
    if row.exact:
        return 1.0
    product = product_of(row.op, row.pass_name, specs, params)
    if row.precision != "full":
        terms = 1 if product is None else max(product.terms, 1)
        return rounded_units(terms, row.precision) / terms
    call = convolution_of(row.op, row.pass_name, specs, params)
    if call is None:
        return float("inf")  # nobody knows
    images = max(1, min(call.n, _PIXELS // max(call.p * call.q, 1)))
    size = (images, call.p, call.q) if row.pass_name == "backward_weight" else (1, 0, 0)
    return _of_convolution(row.pass_name, row.name, call.kh, call.c, call.k, size)


@lru_cache(maxsize=1024)
def _of_convolution(
    pass_name: str, name: str, r: int, c: int, k: int, size: tuple[int, int, int]
) -> float:
    """The largest ratio of the bounds, of operands that are 1 and -1."""
    from convkit.ops.conv2d import conv2d_params

    rng = np.random.Generator(np.random.Philox(7))
    n, p, q = size
    m = 7 - r  # results of a tile in each direction
    x, w, dy = (1, 6, 6, c), (r, r, c, 1), (1, m, m, 1)
    pad = 0
    if pass_name == "forward":
        shapes, out = [x, w], dy
    elif pass_name == "backward_input":
        x, w, dy, pad = (1, m, m, 1), (r, r, 1, k), (1, 6, 6, k), r - 1
        shapes, out = [dy, w], x
    else:
        x, w, dy = (n, p + r - 1, q + r - 1, 1), (r, r, 1, 1), (n, p, q, 1)
        shapes, out = [dy, x], w
    operands: list[Any] = [rng.choice([-1.0, 1.0], shape) for shape in shapes]
    operands += [] if pass_name == "backward_weight" else [None]
    context = Context(conv2d_params(x, w, padding=pad), [Spec(out), None])
    rule = registry.get("conv2d")[pass_name]
    own = rule.bound_of(name)(context, *operands)[0]
    return float(np.max(own / rule.bound(context, *operands)[0]))
