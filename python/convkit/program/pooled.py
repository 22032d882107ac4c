"""Which maximum over windows can be taken while the convolution before it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit.ops import registry
from convkit.ops.activation import FROM_OUTPUT
from convkit.ops.conv2d_pool import fused_params
from convkit.ops.pool2d import BYTE_POSITIONS
from convkit.ops.registry import Params, Spec

if TYPE_CHECKING:
    from convkit.program.program import Instruction

__all__ = ["pooled_params"]


def _is_fast(
    pass_name: str,
    params: Params,
    specs: Sequence[Spec | None],
    convolution: Params,
    apart: Sequence[Spec | None],
) -> bool:
    """Whether the call has the kernel, with pooling, that the convolution alone would have."""
    row = registry.choose("conv2d_pool", pass_name, specs, params)
    alone = registry.choose("conv2d", pass_name, apart, convolution)
    return row.native and row.name == alone.name and row.name != "cpu_naive"


def _has_own_rows(op: str) -> bool:
    """Whether a user has registered kernels, which a fused one would pass by."""
    return any(not row.native and row.name != "reference" for row in registry.kernels(op))


def pooled_params(
    convolution: Instruction, pooling: Instruction, *, differentiated: bool
) -> dict[str, Any] | None:
    """Parameters of the conv2d_pool that does the work of a conv2d and the pool2d behind it.

    Parameters
    ----------
    convolution, pooling : Instruction
        Forward, the second reading nothing but the result of the first.
    differentiated : bool
        Whether the fused form will be differentiated.

    Returns
    -------
    dict or None
        None where the two are better left apart: the convolution alone has a faster kernel, or the
        gradient needs what the fused form does not keep.
    """
    if _has_own_rows("conv2d") or _has_own_rows("pool2d"):
        return None
    if int(pooling.params["window_h"]) * int(pooling.params["window_w"]) > BYTE_POSITIONS:
        return None
    params = fused_params(convolution.params, pooling.params)
    x, w, b = (None if v is None else v.spec for v in convolution.inputs)
    z = None if pooling.inputs[0] is None else pooling.inputs[0].spec
    y, winner = (None if v is None else v.spec for v in pooling.outputs)
    calls = {"forward": ([x, w, b, y, winner], [x, w, b, z])}
    if differentiated:
        if params["activation"] not in FROM_OUTPUT or winner is None:
            return None
        calls["backward_weight"] = [y, x, y, winner, w, b], [z, x, w, b]
        calls["backward_input"] = [y, w, y, winner, None, x], [z, w, None, x]
    for pass_name, (specs, apart) in calls.items():
        if not _is_fast(pass_name, params, specs, convolution.params, apart):
            return None
    return params
