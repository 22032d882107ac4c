"""One pass of one layer: the same operands for everybody."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from convkit.ops.registry import Array, Spec, Step
from convkit.ops.update import update_params
from convkit.testing import calls
from convkit.testing.calls import Call

__all__ = ["PASSES", "RATE", "LayerPass", "seen"]

PASSES = ("forward", "backward_input", "backward_weight", "update")
RATE = 1e-3


@dataclass(frozen=True)
class LayerPass:
    """A pass of a convolution or of a dense layer, or the step of its weights.

    Attributes
    ----------
    which : str
        Of `PASSES`; "update" is SGD with momentum 0.9.
    x, w : sequence of int
        (N, H, W, C) and (KH, KW, C/groups, K), or (N, C) and (C, K).
    stride, padding, groups : int
        Of a convolution.
    """

    which: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    groups: int = 1

    def call(self) -> Call:
        """The pass as a call of an op, which has the operands too."""
        x, w = tuple(self.x), tuple(self.w)
        if self.which == "update":
            n = math.prod(w) + w[-1]
            s, params = Spec((n,)), update_params(momentum=0.9)
            return Call("", "update", "sgd", (s, s, s), params, step=Step(learning_rate=RATE))
        if len(w) == 2:
            found = calls.dense("", x[:1], *w)
        else:
            options: dict[str, Any] = {"stride": self.stride, "padding": self.padding}
            found = calls.conv2d("", x, w, groups=self.groups, **options)
        return next(call for call in found if call.pass_name == self.which)


def seen(results: dict[str, Array]) -> dict[str, list[float]]:
    """Of each result the norm and a thousand of its values, at places that are always the same."""
    found = {}
    for name, a in results.items():
        flat = a.ravel()
        places = np.random.Generator(np.random.Philox(5)).integers(0, flat.size, 1000)
        found[name] = flat[places].astype(float).tolist()
        found[f"norm of {name}"] = [float(np.linalg.norm(flat))]
    return found
