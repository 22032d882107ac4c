"""Which maximum over windows is better taken while the convolution before it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit.ops import registry
from convkit.ops.activation import FROM_OUTPUT
from convkit.ops.choosing import Choice, Policy, call_text, consider
from convkit.ops.conv2d_pool import fused_params
from convkit.ops.pool2d import BYTE_POSITIONS
from convkit.ops.registry import Params, Spec

if TYPE_CHECKING:
    from convkit.program.program import Instruction

__all__ = ["pooled_params"]

# Fused, less memory is taken and written to: predictions have to be clear to decide against it.
_PREDICTED = 1.2
_Call = tuple[str, str, Sequence[Spec | None], Params]


def _decided(policy: Policy, fused: _Call, apart: _Call) -> bool | None:
    """What `Policy.kernels` says of the two ways; None where it says nothing."""
    if not policy.kernels:
        return None
    if call_text(*fused) in policy.kernels:
        return True
    if call_text(*apart) in policy.kernels:
        return False
    if policy.names_rows_of("conv2d_pool"):
        return True
    return False if any(policy.names_rows_of(op) for op in ("conv2d", "pool2d")) else None


def _seconds(choices: Sequence[Choice], policy: Policy) -> float | None:
    """Time of a way: measured, or else predicted; None where some of it is not known."""
    if policy.autotune:
        from convkit.ops.choosing.tuning import measured_seconds

        times = [measured_seconds(choice) for choice in choices]
    else:
        times = [choice.chosen.predicted for choice in choices]
    known = [t for t in times if t is not None]
    return sum(known) if len(known) == len(times) else None


def pooled_params(
    convolution: Instruction,
    pooling: Instruction,
    policy: Policy,
    *,
    differentiated: bool,
    of_data: bool,
) -> dict[str, Any] | None:
    """Parameters of the conv2d_pool that does the work of a conv2d and the pool2d behind it.

    Parameters
    ----------
    convolution, pooling : Instruction
        Forward, the second reading nothing but the result of the first.
    policy : Policy
        How kernels are chosen.
    differentiated : bool
        Whether the fused form will be differentiated.
    of_data : bool
        Whether nobody wants the gradient of the images.

    Returns
    -------
    dict or None
        None where the two are better left apart: they are faster, by what was measured or is
        predicted of the rows that would run them, the gradient needs what the fused form does not
        keep, or kernels of the user's own would be passed by.
    """
    if registry.has_own_rows("conv2d") or registry.has_own_rows("pool2d"):
        return None
    if int(pooling.params["window_h"]) * int(pooling.params["window_w"]) > BYTE_POSITIONS:
        return None
    params = fused_params(convolution.params, pooling.params)
    x, w, b = (None if v is None else v.spec for v in convolution.inputs)
    z = None if pooling.inputs[0] is None else pooling.inputs[0].spec
    y, winner = (None if v is None else v.spec for v in pooling.outputs)
    if differentiated and (params["activation"] not in FROM_OUTPUT or winner is None):
        return None
    fused: list[_Call] = [("conv2d_pool", "forward", [x, w, b, y, winner], params)]
    apart: list[_Call] = [("conv2d", "forward", [x, w, b, z], convolution.params)]
    poolings: list[_Call] = [("pool2d", "max_forward", [z, y, winner], pooling.params)]
    if differentiated:
        fused.append(("conv2d_pool", "backward_weight", [y, x, y, winner, w, b], params))
        apart.append(("conv2d", "backward_weight", [z, x, w, b], convolution.params))
        poolings.append(("pool2d", "max_backward", [y, winner, None, z], pooling.params))
        if not of_data:
            fused.append(("conv2d_pool", "backward_input", [y, w, y, winner, None, x], params))
            apart.append(("conv2d", "backward_input", [z, w, None, x], convolution.params))
    decided = _decided(policy, fused[0], apart[0])
    if decided is not None:
        return params if decided else None
    together = [consider(*call, policy) for call in fused]
    if any(choice.chosen.plain for choice in together):
        return None
    alone = [consider(*call, policy) for call in apart]
    one = _seconds(together, policy)
    two = _seconds([*alone, *(consider(*call, policy) for call in poolings)], policy)
    if one is not None and two is not None:
        return params if one <= two * (1 if policy.autotune else _PREDICTED) else None
    same = all(a.row.name == b.row.name for a, b in zip(together, alone, strict=True))
    return params if same else None
