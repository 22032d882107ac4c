"""Why a row does not support a call, in words."""

from __future__ import annotations

from collections.abc import Sequence

from convkit.ops.choosing.convolutions import convolution_of
from convkit.ops.registry import Params, Row, Spec

__all__ = ["refusal"]


def refusal(row: Row, specs: Sequence[Spec | None], params: Params) -> str:
    """What a row lacks for a call that it does not support.

    Parameters
    ----------
    row : Row
    specs : sequence of Spec or None
    params : mapping

    Returns
    -------
    str
        The first thing that is known to be in the way.
    """
    first = next((s for s in specs if s is not None), None)
    if first is not None and first.dtype not in row.dtypes:
        return f"does not support {first.dtype}"
    told = ""
    if row.op in ("conv2d", "conv2d_pool"):
        told = _of_convolution(row, specs, params)
    return told or "does not support these shapes"


def _of_convolution(row: Row, specs: Sequence[Spec | None], params: Params) -> str:
    call = convolution_of(row.op, row.pass_name, specs, params)
    if call is None:
        return ""
    if row.name == "cpu_depthwise" and (call.c, call.k) != (1, 1):
        return "does not support more than one channel and one filter in a group"
    if row.name == "cpu_winograd":
        for title, (high, wide) in (("stride", call.stride), ("dilation", call.dilation)):
            if (high, wide) != (1, 1):
                return f"does not support {title} {high if high == wide else f'{high} x {wide}'}"
        if (call.kh, call.kw) not in ((3, 3), (5, 5)):
            return f"does not support filters of {call.kh} x {call.kw}"
    return ""
