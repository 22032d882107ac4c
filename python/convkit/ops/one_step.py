"""What the steps of update share as functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, as_unsigned, same_dtype
from convkit.ops.registry import Array, Step
from convkit.ops.update import STATE, update_params

__all__ = ["take_step"]


def take_step(
    rule: str,
    g: ArrayLike,
    w: ArrayLike,
    state: dict[str, ArrayLike | None],
    absent: tuple[str, ...],
    initial: float,
    learning_rate: float,
    step: int,
    kernel: str | None,
    **params: Any,
) -> tuple[Array, ...]:
    """New weights and state; a state that is not given begins with `initial`."""
    checked = update_params(**params)
    count = as_unsigned("update", "step", step, 62)
    ga, wa = as_operand("update", "g", g), as_operand("update", "w", w).copy()
    arrays: dict[str, Array | None] = {}
    for name, value in state.items():
        if name in absent:
            arrays[name] = None
        elif value is None:
            arrays[name] = np.full_like(wa, initial)
        else:
            arrays[name] = as_operand("update", name, value).copy()
    same_dtype("update", g=ga, w=wa, **arrays)
    block = Step(step=count, learning_rate=float(learning_rate))
    operands = [ga, *(arrays[name.rstrip("?")] for name in STATE[rule]), wa]
    apply("update", rule, operands, checked, kernel=kernel, step=block)
    return (wa, *(a for a in arrays.values() if a is not None))
