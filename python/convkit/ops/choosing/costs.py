"""What a kernel takes on one thread: a linear model of each row, fitted to measurements.

Seconds are ``sum coefficient * feature`` over what the row does: multiply-adds in whole vectors,
bytes of the operands, values that are transformed or packed. The coefficients stand in
``costs.json``, by instruction set, pass and row; ``benchmarks/models/fit_costs.py`` writes it and
says on which machine it measured. The model ranks rows, so it is of one thread and one machine on
purpose: the choice, and with it every bit, is the same for any number of threads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from convkit import _core
from convkit.ops import registry
from convkit.ops.choosing.convolutions import Convolution, convolution_of
from convkit.ops.registry import Params, Row, Spec

__all__ = ["features", "predicted_seconds"]

_LANES = {"avx512": 16, "avx2": 8}  # values of four bytes; others have 4
_NEAR = 1 << 21  # values that stay in a cache
Features = dict[str, float]
Coefficients = Mapping[str, Mapping[str, Mapping[str, float]]]


def predicted_seconds(row: Row, specs: Sequence[Spec | None], params: Params) -> float | None:
    """Time of a call on one thread.

    Parameters
    ----------
    row : Row
    specs : sequence of Spec or None
        Of all operands.
    params : mapping

    Returns
    -------
    float or None
        Seconds; None of a row of which no model was fitted.
    """
    if not row.native:
        return None
    fitted = _coefficients(_core.isa()).get(f"{row.op}.{row.pass_name}", {}).get(row.name)
    if fitted is None:
        return None
    found = features(row, specs, params)
    return sum(c * found[name] for name, c in fitted.items())


@cache
def _table() -> dict[str, Any]:
    text = resources.files("convkit.ops.choosing").joinpath("costs.json").read_text()
    table: dict[str, Any] = json.loads(text)
    return table


@cache
def _coefficients(isa: str) -> Coefficients:
    """Those of an instruction set, or of the next one that was measured."""
    fitted = _table()["seconds"]
    found: Coefficients = fitted.get(isa) or fitted.get("avx2", {})
    return found


def features(row: Row, specs: Sequence[Spec | None], params: Params) -> Features:
    """What a row does in a call, by name; see `predicted_seconds`.

    Parameters
    ----------
    row : Row
    specs : sequence of Spec or None
        Of all operands.
    params : mapping

    Returns
    -------
    dict of str to float
    """
    present = [s for s in specs if s is not None]
    size = float(np.dtype(present[0].dtype).itemsize) / 4 if present else 1.0
    nbytes = float(sum(s.nbytes for s in present))
    found: Features = {"call": 1.0, "bytes": nbytes, "far bytes": max(nbytes - 4 * _NEAR, 0.0)}
    rule = registry.get(row.op)[row.pass_name]
    if rule.flops is not None:
        inputs = len(rule.inputs) + len(rule.updates)
        found["flops"] = size * rule.flops(params, specs[:inputs], specs[inputs:])
    lanes = int(_LANES.get(_core.isa(), 4) / max(size, 1))
    call = convolution_of(row.op, row.pass_name, specs, params)
    if call is not None:
        kind = _OF_CONVOLUTION.get(row.name, _direct)
        found |= {name: v * size for name, v in kind(call, row.pass_name, lanes).items()}
    return found


def _whole(n: int, lanes: int) -> int:
    """N in whole vectors."""
    return -(-n // lanes) * lanes


def _columns(call: Convolution, pass_name: str) -> int:
    """Values side by side in the result of one group: what a tile has in its vectors."""
    return call.c if pass_name == "backward_input" else call.k


def _direct(call: Convolution, pass_name: str, lanes: int) -> Features:
    """A product for each tap, in vectors along the channels of the result."""
    columns = _columns(call, pass_name)
    filled = _whole(columns, lanes) / max(columns, 1)
    weights = call.kh * call.kw * call.c * call.k * call.groups
    taps = float(call.n * call.p * call.q * call.kh * call.kw * call.groups)
    return {
        "products": call.products * filled,
        "terms": float(call.products),
        "weights": float(weights),
        "rows": float(call.n * call.p * call.groups),
        "pixels": float(call.n * call.p * call.q * call.groups),
        "taps": taps,
        "narrow taps": taps if call.groups > 1 and columns < lanes else 0.0,
    }


def _im2col(call: Convolution, pass_name: str, lanes: int) -> Features:
    """A column matrix, and its product."""
    columns = call.n * call.p * call.q * call.kh * call.kw * call.c * call.groups
    return {**_direct(call, pass_name, lanes), "columns": float(columns)}


def _winograd(call: Convolution, pass_name: str, lanes: int) -> Features:
    """36 products of tiles by filters, between transforms of both."""
    m = 7 - call.kh
    high, wide = (call.h, call.w) if pass_name == "backward_input" else (call.p, call.q)
    tiles = call.n * -(-high // m) * -(-wide // m) * call.groups
    columns = _columns(call, pass_name)
    c, k = _whole(call.c, 16), _whole(call.k, 16)  # as it pads its planes
    into, out = (c, k) if pass_name != "backward_input" else (k, c)
    weights = 36.0 * c * k * call.groups
    return {
        "products": 36.0 * tiles * c * k,
        "inputs": 36.0 * tiles * into,
        "outputs": 36.0 * tiles * out,
        "weights": weights,
        "far weights": max(weights - _NEAR, 0.0),
        "narrow taps": 36.0 * tiles if call.groups > 1 and columns < lanes else 0.0,
    }


_OF_CONVOLUTION: dict[str, Callable[[Convolution, str, int], Features]] = {
    "cpu_im2col": _im2col,
    "cpu_winograd": _winograd,
}
