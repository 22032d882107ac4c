"""Functions of the user's, tried on samples before a model uses them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from convkit.ops.differences import compare_entry
from convkit.ops.function import UserFunction, writes_to_argument
from convkit.ops.registry import Array
from convkit.ops.returned import read_only

__all__ = ["samples", "try_function"]

ENTRIES = 200  # of each gradient are compared with differences
TOLERANCE = 1e-6


def samples(shape: tuple[int, ...]) -> Iterator[Array]:
    """Numbers of both signs, between 0 and 1, above 1, and far from 0, for functions with domains.

    The last find a bound such as that of ReLU6.
    """
    rng = np.random.Generator(np.random.Philox(0))
    yield read_only(rng.standard_normal(shape))
    for low, high in ((0, 1), (1, 2), (-12, 12)):
        yield read_only(rng.uniform(low, high, shape))


def try_function(
    call: UserFunction,
    trials: Iterable[Sequence[Array]],
    shape: tuple[int, ...],
    hint: str,
    *,
    unit: str = "sample",
    batched: int = 1,
    random: bool = True,
    required: str | None = None,
) -> None:
    """Try a function on samples: shapes, dtypes, each row by itself, and the gradient.

    What raises an arithmetic or value error, or gives numbers that are not finite, is taken to lie
    outside of the function's domain and passed over.

    Parameters
    ----------
    call : UserFunction
    trials : iterable of sequences of ndarray
        The x of each trial, read-only, floating ones in float64.
    shape : tuple of int
        Of the result for one row.
    hint : str
        What a right gradient would be, for the message.
    unit : str
        What the function is to treat by itself.
    batched : int
        How many of the x have the batch axis; the others are weights.
    random : bool
        Whether dy is random; otherwise it is 1.
    required : str, optional
        Refuse a function with none of the trials in its domain, with this at the message's end.

    Raises
    ------
    TypeError, ValueError
    """
    inside, outside = 0, None
    with np.errstate(all="ignore"):
        for x in trials:
            n = len(x[0])
            try:
                y = call.forward(*x, shape=(n, *shape))
            except (ArithmeticError, ValueError) as error:
                raised = error.__cause__ or error  # by the function, or by the checks
                checks = raised is error and call.title in str(error)
                if checks or writes_to_argument(raised):
                    raise
                outside = raised
                continue
            if not np.isfinite(y).all():
                continue
            inside += 1
            parts = ([*(a[s] for a in x[:batched]), *x[batched:]] for s in (np.s_[:1], np.s_[1:]))
            alone = np.concatenate([call.forward(*part) for part in parts])
            if alone.shape != y.shape or not np.allclose(alone, y, 1e-6, 1e-9):
                raise ValueError(
                    f"{call.title}: the {call.names[0]} gives a {unit} another result in a batch "
                    f"than alone; it must treat each {unit} by itself, and the same each time"
                )
            if call.gradient is not None:
                _check_gradient(call, x, y, hint, random)
    if required is not None and not inside:
        told = "" if outside is None else f" ({type(outside).__name__}: {outside})"
        raise ValueError(
            f"{call.title}: the {call.names[0]} gave no finite numbers on any of the samples that "
            f"it was tried on, so that its derivative cannot be checked{told}{required}"
        ) from outside


class _Entry(NamedTuple):
    error: float
    name: str
    at: tuple[int, ...]
    value: float
    given: float
    difference: float


def _check_gradient(
    call: UserFunction, x: Sequence[Array], y: Array, hint: str, random: bool
) -> None:
    """Compare the gradients with central differences, and name the worst entry if it is wrong.

    Raises
    ------
    ValueError
    """
    dy = np.ones(y.shape)
    if random:
        dy = np.random.Generator(np.random.Philox(1)).standard_normal(y.shape)
    gradients = call.backward(read_only(dy), read_only(y), *x)
    moved = [a.copy() for a in x]  # writable, and so only copies of them are shown

    def loss() -> float:
        again = call.forward(*(read_only(a.copy()) for a in moved), shape=y.shape)
        # Less y, so that large numbers which stay as they are do not round small changes away.
        return float((dy * (again - y)).sum())

    rounding = np.finfo(y.dtype).eps * float(np.abs(dy * y).max(initial=0.0))
    middle, worst = loss(), _Entry(-1.0, "", (), 0.0, 0.0, 0.0)
    for name, a, gradient in zip(call.inputs, moved, gradients, strict=True):
        if gradient is None:
            continue
        for i in np.unique(np.linspace(0, a.size - 1, min(a.size, ENTRIES)).astype(int)):
            given = float(gradient.flat[i])
            error, difference, smooth = compare_entry(
                loss, a.reshape(-1), int(i), given, middle, TOLERANCE, rounding=rounding
            )
            if smooth and error > worst.error:
                at = tuple(int(k) for k in np.unravel_index(i, a.shape))
                worst = _Entry(error, name, at, float(a.flat[i]), given, difference)
    if worst.error > TOLERANCE:
        position = ", ".join(map(str, worst.at))
        if np.array_equal(y, y.astype(np.float32)) and (y != np.rint(y)).any():
            hint += f"; the {call.names[0]} must keep to float64 where it is given that"
        raise ValueError(
            f"{call.title}: the {call.names[1]} is wrong. At {worst.name}[{position}] = "
            f"{worst.value:.6g} it gives {worst.given:.6g}, central differences of the "
            f"{call.names[0]} give {worst.difference:.6g} (relative error {worst.error:.2g}); "
            f"{hint}"
        )
