"""Arguments of compile and fit that need more than a look."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from convkit.data.sequence import is_sequence

__all__ = [
    "batches",
    "check_compile_options",
    "check_fraction",
    "check_shuffle",
    "check_split",
    "check_steps",
    "count",
    "prepare_validation",
    "refuse_batch_size",
    "validates",
]


def check_compile_options(
    loss_weights: Any, steps_per_execution: Any, jit_compile: Any, auto_scale_loss: Any
) -> None:
    """Refuse Keras's arguments of ``compile`` that would have to be ignored.

    Raises
    ------
    TypeError
    """
    refused = {
        "loss_weights": (loss_weights, (None,), "there is one loss"),
        "steps_per_execution": (
            steps_per_execution,
            (1, "auto"),
            "steps run natively many at a time in any case",
        ),
        "jit_compile": (jit_compile, ("auto", False, None), "there is nothing to compile"),
        "auto_scale_loss": (auto_scale_loss, (True,), "training is in float32"),
    }
    for name, (value, harmless, reason) in refused.items():
        if not any(value is h or (value == h and type(value) is type(h)) for h in harmless):
            raise TypeError(f"compile: {name}={value!r} is not supported ({reason}); leave it out")


def count(verb: str, name: str, value: Any, default: int | None, least: int = 1) -> int:
    """A whole number of at least `least`; None stands for the default, if there is one.

    Raises
    ------
    TypeError, ValueError
    """
    if value is None and default is not None:
        return default
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"[{verb}] {name} must be a whole number, not {value!r}") from None
    if number < least:
        raise ValueError(f"[{verb}] {name} is {number}, expected at least {least}")
    return number


def check_steps(verb: str, **steps: Any) -> None:
    """Refuse numbers of steps that are not None, 1, 2, ...

    Raises
    ------
    TypeError, ValueError
    """
    for name, value in steps.items():
        count(verb, name, value, 1)


def check_shuffle(value: Any) -> bool | str:
    """Return `shuffle` as True, False or "batch".

    Raises
    ------
    TypeError
    """
    if isinstance(value, str) and value == "batch":
        return value
    if not isinstance(value, bool | np.bool_ | int) or value not in (0, 1):
        raise TypeError(f'[fit] shuffle must be True, False or "batch", not {value!r}')
    return bool(value)


def check_fraction(value: Any) -> None:
    """Refuse a `validation_split` that is no number.

    Raises
    ------
    TypeError
    """
    if value is not None and not isinstance(value, float | int | np.floating | np.integer):
        raise TypeError(f"[fit] validation_split must be a number between 0 and 1, not {value!r}")


def check_split(split: Any, validation_split: Any, validation_data: Any, test_data: Any) -> None:
    """Refuse `split` beside other ways to say what is for validation and testing.

    Raises
    ------
    ValueError
    """
    if split is None:
        return
    others = {
        "validation_split": validation_split or None,
        "validation_data": validation_data,
        "test_data": test_data,
    }
    for name, value in others.items():
        if value is not None:
            raise ValueError(
                f"[fit] split says which samples are for validation and testing, and {name} says "
                "so again; leave one out"
            )


def batches(verb: str, x: Any, y: Any, sample_weight: Any, batch_size: Any = None) -> Any:
    """Return x as an iterable of batches, refused if it is none or comes with y or a batch size.

    Raises
    ------
    TypeError, ValueError
    """
    if x is None:
        raise TypeError(f"[{verb}] x is missing: pass arrays, or an iterable of batches")
    if not (isinstance(x, Iterable) or is_sequence(x)) or isinstance(x, str | bytes):
        raise TypeError(
            f"[{verb}] x must be arrays or an iterable of batches, not {type(x).__name__}"
        )
    if y is not None or sample_weight is not None:
        raise ValueError(
            f"[{verb}] x is an iterable of batches, which yields y and sample_weight itself; "
            "leave them out"
        )
    refuse_batch_size(verb, batch_size)
    return x


def refuse_batch_size(verb: str, value: Any, name: str = "batch_size", data: str = "x") -> None:
    """Refuse a batch size for data that comes in batches.

    Raises
    ------
    ValueError
    """
    if value is not None:
        raise ValueError(
            f"[{verb}] {name}={value!r} belongs to the generator: {data} is an iterable of "
            f"batches, each of its own size; leave {name} out"
        )


def prepare_validation(data: Any, name: str = "validation_data") -> tuple[Any, Any, Any]:
    """Return x, y and sample_weight of ``validation_data`` or ``test_data``.

    Raises
    ------
    ValueError
        If it is a tuple of another length.
    """
    if isinstance(data, tuple | list):
        if len(data) not in (2, 3):
            raise ValueError(
                f"[fit] {name} must be (x, y) or (x, y, sample_weight), got {len(data)} items"
            )
        x, y, *weight = data
        return x, y, weight[0] if weight else None
    return data, None, None


def validates(frequency: Any, epoch: int) -> bool:
    """Whether validation runs after this epoch, counted from 0."""
    if isinstance(frequency, Iterable):
        return epoch + 1 in set(frequency)
    return (epoch + 1) % count("fit", "validation_freq", frequency, 1) == 0
