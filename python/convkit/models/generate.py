"""Writing with a network that foretells the next character."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.layers.embedding import CategoryEncoding
from convkit.layers.input import InputLayer
from convkit.layers.recurrent_base import Recurrent
from convkit.layers.wrappers import Bidirectional
from convkit.models.sequential import Sequential
from convkit.random import current_seed, uniform24

__all__ = ["generate", "one_step"]

STREAM = 0x74657874  # of the random numbers, apart from those of dropout layers


def one_step(model: Sequential) -> Sequential:
    """A model of the same weights that takes one step of one sequence and keeps its state.

    Parameters
    ----------
    model : Sequential
        From sequences of numbers (N, T) to an output per step (N, T, V).

    Returns
    -------
    Sequential
        From (1, 1) to (1, 1, V). Its weights are those of `model`; whichever of the two is used
        brings them along.

    Raises
    ------
    TypeError
        If it is no Sequential model.
    ValueError
        If a layer needs whole sequences, or the output is not one per step.
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"[generate] takes a Sequential model, got {type(model).__name__}")
    if len(model.input_shape) != 2 + (model.input_shape[-1] == 1) or len(model.output_shape) != 3:
        raise ValueError(
            f"[generate] model {model.name!r} goes from {model.input_shape} to "
            f"{model.output_shape}, expected one from numbers (N, T) to probabilities (N, T, V): "
            "give its recurrent layers return_sequences=True"
        )
    chain = []
    for layer in model.layers:
        if isinstance(layer, Bidirectional) or getattr(layer, "go_backwards", False):
            raise ValueError(f"[generate] {layer.title} reads what is yet to be written")
        chain.append(layer.keeping_state(1) if isinstance(layer, Recurrent) else layer)
    # A one-hot layer takes (N, 1) for numbers, not for sequences of one step.
    shape = (1, 1) if isinstance(chain[0], CategoryEncoding) else (1,)
    begin = InputLayer(shape, 1, name="step")
    return Sequential([begin, *chain], name=f"{model.name}_step")


@overload
def generate(
    model: Sequential,
    start: str,
    length: int = ...,
    temperature: float = ...,
    seed: int | None = ...,
    *,
    vocabulary: Sequence[str],
) -> str: ...


@overload
def generate(
    model: Sequential,
    start: ArrayLike,
    length: int = ...,
    temperature: float = ...,
    seed: int | None = ...,
) -> NDArray[np.int64]: ...


def generate(
    model: Sequential,
    start: Any,
    length: int = 200,
    temperature: float = 1.0,
    seed: int | None = None,
    *,
    vocabulary: Sequence[str] | None = None,
) -> Any:
    """Continue a text, character by character, each drawn from what the model foretells.

    The state goes from step to step, so that each character costs one step. Number k of the text
    is drawn with a random number that is a function of the seed and k.

    Parameters
    ----------
    model : Sequential
        Such as `char_rnn`: from numbers (N, T) to probabilities or logits (N, T, V).
    start : str, or array_like of int
        What the text begins with; one character at least.
    length : int
        How many characters to write.
    temperature : float
        Above 1 for bolder, below 1 for safer choices: probabilities are raised to the power
        1 / temperature. 0 takes the likeliest character.
    seed : int, optional
        By default the global one.
    vocabulary : str or sequence of str, optional
        The character of each number, V in all and no two the same; needed if `start` is a text.

    Returns
    -------
    str, or ndarray of int64, shape (length,)
        The continuation, without `start`.

    Raises
    ------
    TypeError, ValueError
        If the model is of another kind, or an argument does not fit.
    """
    length = operator.index(length)
    if length < 0:
        raise ValueError(f"[generate] length must be at least 0, got {length}")
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"[generate] temperature must be at least 0, got {temperature}")
    twin = one_step(model)
    if vocabulary is not None:
        _check_vocabulary(vocabulary, model)
    numbers = _numbers(start, vocabulary)
    kind = _kind(model)
    uniform = uniform24(current_seed() if seed is None else seed, STREAM, 0, length)
    written = np.empty(length, np.int64)
    shape = (1, *(n or 1 for n in twin.input_shape[1:]))
    try:
        for number in numbers:
            p = twin.predict(np.full(shape, number), verbose=0)[0, 0]
        for k in range(length):
            written[k] = _draw(p, kind, temperature, float(uniform[k]))
            if k + 1 < length:
                p = twin.predict(np.full(shape, written[k]), verbose=0)[0, 0]
    finally:
        model.build()  # takes its weights back
    if isinstance(start, str):
        assert vocabulary is not None
        return "".join(vocabulary[int(i)] for i in written)
    return written


def _check_vocabulary(vocabulary: Sequence[str], model: Sequential) -> None:
    """Refuse a vocabulary that does not name each output of the model once.

    Raises
    ------
    TypeError, ValueError
    """
    first: dict[str, int] = {}
    for i, character in enumerate(vocabulary):
        if not isinstance(character, str):
            raise TypeError(
                f"[generate] vocabulary must hold characters, got {character!r} for number {i}"
            )
        if character in first:
            raise ValueError(
                f"[generate] vocabulary has {character!r} for both {first[character]} and {i}; "
                "each number needs a character of its own"
            )
        first[character] = i
    outputs = model.output_shape[-1]
    if len(first) != outputs:
        raise ValueError(
            f"[generate] vocabulary has {len(first)} characters, model {model.name!r} has "
            f"{outputs} outputs; pass the vocabulary that it was trained with"
        )


def _numbers(start: Any, vocabulary: Sequence[str] | None) -> NDArray[Any]:
    """The numbers of the characters that the text begins with."""
    if isinstance(start, str):
        if vocabulary is None:
            raise ValueError("[generate] a text needs vocabulary=, the character of each number")
        known = {character: i for i, character in enumerate(vocabulary)}
        strange = [character for character in start if character not in known]
        if strange:
            raise ValueError(f"[generate] {strange[0]!r} is not in the vocabulary")
        start = [known[character] for character in start]
    numbers = np.asarray(start)
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(
            f"[generate] start must be a text or a list of numbers, with one at least, got shape "
            f"{numbers.shape}"
        )
    return numbers


def _kind(model: Sequential) -> str:
    """What the output is: "softmax", "log_softmax" or "linear" (logits)."""
    last = model.layers[-1]
    function = getattr(last, "activation", None) or getattr(last, "function", None)
    kind = str(getattr(function, "kind", "linear"))
    if kind not in ("softmax", "log_softmax", "linear"):
        raise ValueError(
            f"[generate] {last.title} ends in {kind}, expected softmax, log_softmax or logits"
        )
    return kind


def _draw(p: NDArray[Any], kind: str, temperature: float, uniform: float) -> int:
    """The number whose share of the whole the uniform number falls into."""
    if not np.isfinite(p).all():
        raise ValueError("[generate] the model's output is not finite: are its weights?")
    if temperature == 0:
        return int(p.argmax())
    with np.errstate(divide="ignore"):  # log 0
        logits = (np.log(p.astype(np.float64)) if kind == "softmax" else p) / temperature
    weights = np.exp(logits - logits.max()).cumsum()
    # Numbers without weight are passed over, the last ones too.
    return int(np.searchsorted(weights, uniform * weights[-1], side="right"))
