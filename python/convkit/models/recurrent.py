"""Recurrent networks: for images row by row, text letter by letter, series and films."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convkit.errors import did_you_mean
from convkit.layers import (
    GRU,
    LSTM,
    CategoryEncoding,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
    Reshape,
    SimpleRNN,
    TimeDistributed,
)
from convkit.layers.checks import check_shape
from convkit.models.arguments import count as whole
from convkit.models.sequential import Sequential

__all__ = ["char_rnn", "cnn_rnn", "forecaster", "rnn_classifier"]

_CELLS: dict[str, Callable[..., Layer]] = {"simple": SimpleRNN, "lstm": LSTM, "gru": GRU}


def _cell(model: str, cell: str) -> Callable[..., Layer]:
    if cell not in _CELLS:
        raise ValueError(f"[{model}] unknown cell {cell!r}{did_you_mean(str(cell), _CELLS)}")
    return _CELLS[cell]


def _stack(model: str, cell: str, units: int, count: int, **options: Any) -> list[Layer]:
    """So many recurrent layers; all but the last pass sequences on."""
    kind = _cell(model, cell)
    if count < 1:
        raise ValueError(f"[{model}] layers must be at least 1, got {count}")
    last = options.pop("return_sequences", False)
    names = [cell] if count == 1 else [f"{cell}{i}" for i in range(1, count + 1)]
    return [
        kind(units, return_sequences=last or i < count, name=name, **options)
        for i, name in enumerate(names, 1)
    ]


def rnn_classifier(
    cell: str = "lstm",
    units: int = 128,
    input_shape: Sequence[int] = (28, 28),
    classes: int = 10,
    layers: int = 1,
    name: str = "rnn_classifier",
) -> Sequential:
    """A recurrent layer that reads a sequence, such as the rows of an image, and names its class.

    Parameters
    ----------
    cell : {"simple", "lstm", "gru"}
    units : int
    input_shape : tuple of int
        (T, C), or (H, W, C) of an image, whose rows are the steps.
    classes : int
    layers : int
        Recurrent layers, one upon the other.
    name : str

    Returns
    -------
    Sequential

    Examples
    --------
    >>> from convkit import models
    >>> models.rnn_classifier().count_params()
    81674
    """
    shape = tuple(input_shape)
    begin: list[Layer] = []
    if len(shape) == 3:
        begin.append(Reshape((shape[0], shape[1] * shape[2]), name="rows"))
    recurrent = _stack("rnn_classifier", cell, units, layers)
    output = Dense(classes, "softmax", name="output")
    return Sequential([Input(shape), *begin, *recurrent, output], name=name)


def char_rnn(
    vocabulary: int = 65,
    cell: str = "simple",
    units: int = 512,
    layers: int = 1,
    steps: int = 100,
    embedding: int | None = None,
    batch_size: int | None = None,
    name: str = "char_rnn",
) -> Sequential:
    """A recurrent network that foretells each next character of a text (Karpathy 2015).

    As in PyTorch its recurrent layers have two biases; the default is the vanilla network of 512
    units on one-hot characters, with 329,793 parameters. `convkit.models.generate` writes with it.

    Parameters
    ----------
    vocabulary : int
        Number of characters.
    cell : {"simple", "lstm", "gru"}
    units : int
    layers : int
        Recurrent layers, one upon the other.
    steps : int
        Characters of a sample.
    embedding : int, optional
        Length of trained vectors for the characters, in place of one-hot rows.
    batch_size : int, optional
        Carry the state from each batch to the next: they have this size, and sequence i of one goes
        on where sequence i of the one before ended. The states count among the weights; see Notes.
    name : str

    Returns
    -------
    Sequential
        From character numbers (N, steps) to probabilities (N, steps, vocabulary).

    Notes
    -----
    With a `batch_size` the states are weights that are not trained, ``state_h`` for example, so
    `count_params`, `get_weights` and weights files have more than those of the model without one.
    Copy from one to the other by name, as below.

    Examples
    --------
    >>> from convkit import models
    >>> models.char_rnn().count_params()
    329793
    >>> models.char_rnn(cell="lstm", units=256, layers=2).count_params()
    874049
    >>> trained, writer = models.char_rnn(), models.char_rnn(batch_size=1)
    >>> values = {p.path: p.numpy() for p in trained.weights}
    >>> for p in writer.weights:
    ...     if p.path in values:  # a state is not
    ...         p.assign(values[p.path])
    """
    options: dict[str, Any] = {"return_sequences": True, "stateful": batch_size is not None}
    if cell != "gru":  # which has two biases in any case
        options["recurrent_bias"] = True
    recurrent = _stack("char_rnn", cell, units, layers, **options)
    shape: tuple[int, ...] = (steps,)
    begin: Layer
    if embedding is None:
        shape = (steps, 1) if steps == 1 else shape  # (1,) would be one number, not one step
        begin = CategoryEncoding(vocabulary, "one_hot", name="characters")
    else:
        begin = Embedding(vocabulary, embedding, name="characters")
    output = Dense(vocabulary, "softmax", name="output")
    return Sequential([Input(shape, batch_size), begin, *recurrent, output], name=name)


def forecaster(
    steps: int = 24,
    features: int = 1,
    units: int = 64,
    cell: str = "lstm",
    horizon: int = 1,
    layers: int = 1,
    name: str = "forecaster",
) -> Sequential:
    """A recurrent network that continues a series of numbers.

    Parameters
    ----------
    steps : int
        Known values that it sees.
    features : int
        Numbers of each step.
    units : int
    cell : {"simple", "lstm", "gru"}
    horizon : int
        Values to come that it foretells, all at once.
    layers : int
        Recurrent layers, one upon the other.
    name : str

    Returns
    -------
    Sequential
        From (N, steps, features) to (N, horizon, features).

    Examples
    --------
    >>> from convkit import models
    >>> models.forecaster(steps=12, horizon=3).output_shape
    (None, 3, 1)
    """
    recurrent = _stack("forecaster", cell, units, layers)
    output = [Dense(horizon * features, name="output"), Reshape((horizon, features), name="future")]
    return Sequential([Input((steps, features)), *recurrent, *output], name=name)


def _check_size(shape: tuple[int, ...], strips: int | None, pools: int) -> None:
    """Refuse images or strips that do not outlast so many poolings.

    Raises
    ------
    ValueError
    """
    h, w = shape[-3] // (strips or 1), shape[-2]
    if min(h, w) < 2**pools:
        what, way = f"images of {h} x {w}", "fewer filters"
        if strips is not None:
            what, way = f"strips={strips} leaves pieces of {h} x {w}", "fewer strips or filters"
        raise ValueError(
            f"[cnn_rnn] {what}, too small for {pools} poolings, which take {2**pools} x "
            f"{2**pools} at least; ask for {way}"
        )


def cnn_rnn(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    filters: Sequence[int] = (16, 32),
    units: int = 64,
    cell: str = "lstm",
    strips: int | None = None,
    name: str = "cnn_rnn",
) -> Sequential:
    """A hybrid: a small convolutional network sees each image of a sequence, a recurrent layer all.

    Both are trained together, end to end.

    Parameters
    ----------
    input_shape : tuple of int
        (T, H, W, C) of a film, or (H, W, C) of an image, which is cut into strips from top to
        bottom.
    classes : int
    filters : sequence of int
        Of the 3 x 3 convolutions; each is followed by maximum pooling.
    units : int
    cell : {"simple", "lstm", "gru"}
    strips : int, optional
        Into which an image is cut, by default 4; its height is a multiple. Films have none.
    name : str

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If the images are too small for so many convolutions, cannot be cut, or are a film's.

    Examples
    --------
    >>> from convkit import models
    >>> models.cnn_rnn().output_shape
    (None, 10)
    """
    shape = check_shape(input_shape, "[cnn_rnn] input_shape")
    begin: list[Layer] = []
    if len(shape) == 3:
        h, w, c = shape
        strips = whole("cnn_rnn", "strips", strips, 4)
        if h % strips:
            raise ValueError(f"[cnn_rnn] an image of height {h} cannot be cut into {strips} strips")
        begin.append(Reshape((strips, h // strips, w, c), name="strips"))
    elif len(shape) != 4:
        raise ValueError(f"[cnn_rnn] input_shape is (T, H, W, C) or (H, W, C), got {shape}")
    elif strips is not None:
        raise ValueError(
            f"[cnn_rnn] strips={strips} is for an image; the {shape[0]} images of a film are not "
            "cut, leave strips out"
        )
    _check_size(shape, strips, len(filters))
    for i, count in enumerate(filters, 1):
        conv = Conv2D(count, 3, padding="same", activation="relu", name=f"conv{i}")
        begin.append(TimeDistributed(conv, name=f"each_conv{i}"))
        begin.append(TimeDistributed(MaxPooling2D(2, name=f"pool{i}"), name=f"each_pool{i}"))
    begin.append(TimeDistributed(Flatten(name="flatten"), name="each_flatten"))
    recurrent = _stack("cnn_rnn", cell, units, 1)
    output = Dense(classes, "softmax", name="output")
    return Sequential([Input(shape), *begin, *recurrent, output], name=name)
