"""Checks of the public functions: derivatives by differences, and the ways an array may lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from convkit.cuda import native as cuda
from convkit.ops import registry
from convkit.ops.registry import Array


def each_row(op: str, pass_name: str, call: Callable[[str], Any]) -> list[Any]:
    """Results of `call(name)` for the rows of a pass that support it."""
    results = []
    on_gpu = [] if cuda.why_unavailable() else registry.kernels(op, pass_name, device="cuda")
    for row in [*registry.kernels(op, pass_name), *(row for row in on_gpu if row.native)]:
        try:
            results.append(call(row.name))
        except ValueError as error:
            if "does not support" not in str(error):
                raise
    assert len(results) > 1  # one native row and the reference at least
    return results


def numeric_gradient(f: Callable[[Array], Array], x: Array, dy: Array) -> Array:
    """Return d sum(dy f(x)) / dx, every entry by central differences of fourth order."""
    h = 2.0**-8
    gradient = np.empty_like(x)
    for at in np.ndindex(x.shape):
        values = []
        for steps in (-2, -1, 1, 2):
            shifted = x.copy()
            shifted[at] += steps * h
            values.append(float((dy * f(shifted)).sum()))
        gradient[at] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    return gradient


def assert_gradient(got: Array, f: Callable[[Array], Array], x: Array, dy: Array) -> None:
    """Every entry of a gradient is right to 1e-7."""
    expected = numeric_gradient(f, x, dy)
    np.testing.assert_allclose(
        got, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max(initial=1)
    )
    assert np.abs(expected).max(initial=0) > 0 or expected.size == 0


def layouts(a: Array) -> Iterator[tuple[str, Array]]:
    """Arrays equal to `a` that a kernel could not take as they are."""
    gaps = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    gaps[..., ::2] = a
    yield "with gaps", gaps[..., ::2]
    yield "in Fortran's order", np.asfortranarray(a)
    yield "with negative strides", a[::-1].copy()[::-1]
    misaligned = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    misaligned[...] = a
    yield "misaligned", misaligned
    yield "in the other byte order", a.astype(a.dtype.newbyteorder())
    frozen = a.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


def bits(result: Any) -> Any:
    """What two equal results have in common."""
    if isinstance(result, tuple | list):
        return [bits(r) for r in result]
    return result.tobytes() if isinstance(result, np.ndarray) else result


def assert_layouts(function: Callable[..., Any], *arrays: Array) -> None:
    """The function gives the same bits for arrays that lie in memory in other ways."""
    expected = bits(function(*arrays))
    for i, array in enumerate(arrays):
        for name, other in layouts(array):
            before = other.tobytes()
            got = function(*arrays[:i], other, *arrays[i + 1 :])
            assert bits(got) == expected, f"argument {i} {name} gives another result"
            assert other.tobytes() == before, f"argument {i} {name} was changed"
