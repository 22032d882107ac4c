"""The geometry of a call of conv2d or conv2d_pool, whatever its pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from convkit.ops.registry import Params, Spec

__all__ = ["Convolution", "convolution_of"]

# Where the images x (or their gradient) and the filters w (or theirs) stand among the operands.
_PLACES = {
    "conv2d": {"forward": (0, 1), "backward_input": (3, 1), "backward_weight": (1, 2)},
    "conv2d_pool": {"forward": (0, 1), "backward_input": (5, 1), "backward_weight": (1, 4)},
}


class Convolution(NamedTuple):
    """Sizes as in csrc/ops/conv2d/conv2d.h; `c` and `k` are channels and filters of one group."""

    n: int
    h: int
    w: int
    kh: int
    kw: int
    c: int
    k: int
    groups: int
    p: int
    q: int
    stride: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def products(self) -> int:
        """Multiply-adds of the definition."""
        return self.n * self.p * self.q * self.kh * self.kw * self.c * self.k * self.groups


def convolution_of(
    op: str, pass_name: str, specs: Sequence[Spec | None], params: Params
) -> Convolution | None:
    """The sizes of a call; None of one that is no call of these ops.

    Parameters
    ----------
    op, pass_name : str
    specs : sequence of Spec or None
    params : mapping

    Returns
    -------
    Convolution or None
    """
    places = _PLACES.get(op, {}).get(pass_name)
    if places is None or len(specs) <= max(places):
        return None
    x, w = specs[places[0]], specs[places[1]]
    if x is None or w is None or len(x.shape) != 4 or len(w.shape) != 4:
        return None
    n, height, width, _ = x.shape
    kh, kw, c, k = w.shape
    groups = int(params["groups"])
    stride, dilation = (
        (int(params[f"{name}_h"]), int(params[f"{name}_w"])) for name in ("stride", "dilation")
    )
    p = height + int(params["pad_top"]) + int(params["pad_bottom"]) - dilation[0] * (kh - 1) - 1
    q = width + int(params["pad_left"]) + int(params["pad_right"]) - dilation[1] * (kw - 1) - 1
    return Convolution(
        n, height, width, kh, kw, c, k // max(groups, 1), groups,
        p // stride[0] + 1, q // stride[1] + 1, stride, dilation,
    )  # fmt: skip
