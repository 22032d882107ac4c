"""Rows of the CUDA module: what `registry` asks and lets run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from convkit import _core
from convkit.cuda import native as cuda

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params, Row, Spec, Step

__all__ = ["rows_of", "run", "supports", "workspace_bytes"]


@cache
def rows_of(op: str) -> tuple[Row, ...]:
    """The rows of an op, those that have run on hardware first; none without the module."""
    from convkit.ops.registry import Row

    native = cuda.module()
    rows = [] if native is None else native.kernels(op)
    found = [
        Row(
            op,
            r["pass"],
            r["name"],
            "cuda",
            dtypes=tuple(r["dtypes"]),
            proved=r["proved"],
            precision=r["precision"],
            by_sample=r.get("by_sample", 0),
        )
        for r in rows
    ]
    return tuple(sorted(found, key=lambda row: row.proved != "hardware"))


def _called(row: Row, specs: Sequence[Spec | None], params: Params) -> tuple[Any, ...]:
    values = _core.params_bytes(row.op, dict(params))
    return row.op, row.pass_name, row.name, list(specs), values


def supports(row: Row, specs: Sequence[Spec | None], params: Params) -> bool:
    """Whether the row can run this call."""
    return bool(cuda.module().supports(*_called(row, specs, params)))


def workspace_bytes(row: Row, specs: Sequence[Spec | None], params: Params) -> int:
    """Scratch memory that the call needs, in bytes."""
    return int(cuda.module().workspace_bytes(*_called(row, specs, params)))


def run(
    row: Row,
    params: Params,
    inputs: Sequence[Array | None],
    outputs: Sequence[Array | None],
    step: Step,
) -> None:
    """Run a row on arrays of the CPU: copies go to the device, and what changed comes back."""
    from convkit.ops.registry import get

    call = partial(
        cuda.require().call,
        row.op,
        row.pass_name,
        row.name,
        [*inputs, *outputs],
        len(inputs) - len(get(row.op)[row.pass_name].updates),
        _core.params_bytes(row.op, dict(params)),
        (step.step, step.sample, step.learning_rate, step.seed),
    )
    # It has memory for all, or does nothing.
    cuda.made(call, f"the arrays of a call of {row.op}.{row.pass_name}")
