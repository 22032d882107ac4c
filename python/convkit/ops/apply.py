"""The edge of the public op functions: arrays are checked here, once, and nowhere below."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops import registry
from convkit.ops.choosing.choice import choose
from convkit.ops.registry import Array, Params, Spec, Step

MAX_BYTES = 1 << 62
MAX_RANK = 6  # of a native tensor


def as_int(op: str, name: str, value: Any, wanted: str = "an int") -> int:
    """Return `value` as an int, NumPy's own among them.

    Raises
    ------
    TypeError
        If it is not one; bools and floats are not.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"[{op}] {name} must be {wanted}, got {value!r}") from None


def as_unsigned(op: str, name: str, value: Any, bits: int) -> int:
    """Return `value` as an int from 0 to 2**bits - 1.

    Raises
    ------
    TypeError, ValueError
    """
    number = as_int(op, name, value)
    if not 0 <= number < 1 << bits:
        raise ValueError(f"[{op}] {name} is {number}, expected 0 to 2**{bits} - 1")
    return number


def random_step(op: str, seed: int, step: int) -> Step:
    """The step block of an op that draws random numbers.

    Raises
    ------
    TypeError, ValueError
        If the seed is no unsigned 64-bit number, or the step none of 63 bits.
    """
    return Step(step=as_unsigned(op, "step", step, 63), seed=as_unsigned(op, "seed", seed, 64))


def as_operand(
    op: str, name: str, value: ArrayLike, dtypes: tuple[str, ...] = ("float32", "float64")
) -> Array:
    """Return `value` as a contiguous, aligned array in native byte order.

    Non-contiguous, misaligned and byte-swapped arrays are copied; read-only ones are read in place.

    Raises
    ------
    TypeError
        If the dtype is not one of `dtypes`.
    ValueError
        If there are more than 6 dimensions.
    """
    array = np.asarray(value)
    if not isinstance(value, np.ndarray | np.generic) and array.dtype.kind in "if":
        array = array.astype(dtypes[0])  # a list has no dtype of its own
    dtype = array.dtype.newbyteorder("=")
    if dtype.name not in dtypes:
        kind = dtypes[0]
        raise TypeError(
            f"[{op}] {name} has dtype {array.dtype}, expected {' or '.join(dtypes)}; "
            f"convert it with {name}.astype({kind!r})"
        )
    if array.ndim > MAX_RANK:
        raise ValueError(
            f"[{op}] {name} has {array.ndim} dimensions, at most {MAX_RANK} are supported; "
            "reshape it"
        )
    return np.require(array, dtype=dtype, requirements=["C_CONTIGUOUS", "ALIGNED"])


def same_dtype(op: str, **arrays: Array | None) -> None:
    """Raise a TypeError unless all arrays given have one dtype."""
    present = {name: a.dtype.name for name, a in arrays.items() if a is not None}
    if len(set(present.values())) > 1:
        each = ", ".join(f"{name} {dtype}" for name, dtype in present.items())
        raise TypeError(f"[{op}] operands have different dtypes ({each}); convert them to one")


def as_operands(op: str, **values: ArrayLike | None) -> list[Array | None]:
    """`as_operand` of each value that is given, None for the others; of one dtype.

    Raises
    ------
    TypeError, ValueError
        As `as_operand` and `same_dtype`.
    """
    found = {name: None if a is None else as_operand(op, name, a) for name, a in values.items()}
    same_dtype(op, **found)
    return list(found.values())


def as_mask(op: str, mask: ArrayLike) -> Array:
    """A mask of steps as uint8; booleans and lists count where they are not 0.

    Raises
    ------
    TypeError
        If it is an array of another dtype.
    """
    array = np.asarray(mask)
    if array.dtype == np.bool_ or not isinstance(mask, np.ndarray | np.generic):
        array = (array != 0).astype(np.uint8)
    return as_operand(op, "mask", array, ("uint8",))


def check_channels(op: str, name: str, spec: Spec, **vectors: Spec | None) -> None:
    """Raise a ValueError unless `spec` is (..., C) and every vector that is given is (C,)."""
    if not spec.shape:
        raise ValueError(f"[{op}] {name} must have at least one axis, (..., C), got a number")
    for vector, given in vectors.items():
        if given is not None and given.shape != spec.shape[-1:]:
            raise ValueError(
                f"[{op}] {vector} has shape {given.shape}, expected {spec.shape[-1:]}: one value "
                f"for each channel of {name}, which is {spec.shape}"
            )


def check_size(op: str, spec: Spec) -> None:
    """Refuse a result whose bytes do not fit into 64-bit arithmetic, before allocating it."""
    if spec.nbytes > MAX_BYTES:
        raise MemoryError(f"[{op}] result of shape {spec.shape} needs {spec.nbytes} bytes")


def apply(
    op: str,
    pass_name: str,
    inputs: Sequence[Array | None],
    params: Params | None = None,
    *,
    out: Sequence[Spec | None] | None = None,
    kernel: str | None = None,
    step: Step | None = None,
) -> list[Any]:
    """Run one pass on checked arrays and return its outputs: a one-instruction program.

    Parameters
    ----------
    op, pass_name : str
    inputs : sequence of ndarray or None
        The pass's inputs and updates, from `as_operand`.
    params : mapping
    out : sequence of Spec or None
        Specs of the outputs where the pass cannot infer them.
    kernel : str, optional
        Name of a row; by default the one that `convkit.ops.choosing` chooses.
    step : Step, optional

    Returns
    -------
    list of ndarray or None
    """
    params = params or {}
    specs = [None if x is None else Spec(x.shape, x.dtype.name) for x in inputs]
    if out is None:
        infer = registry.get(op)[pass_name].infer
        assert infer is not None, f"{op}.{pass_name} needs explicit output specs"
        out = infer(params, specs)
    for spec in out:
        if spec is not None:
            check_size(op, spec)
    row = choose(op, pass_name, [*specs, *out], params, kernel)
    outputs = [None if s is None else np.empty(s.shape, s.dtype) for s in out]
    registry.run(row, params, inputs, outputs, step)
    return outputs
