"""Weights, as layers declare them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.checks import number

if TYPE_CHECKING:
    from convkit.initializers import Initializer
    from convkit.regularizers import Regularizer
    from convkit.run.store import Store


class Parameter:
    """An array that a layer owns and training changes.

    Its values live in the flat buffer of the model that the layer is part of; the layer has only
    the declaration.

    Parameters
    ----------
    name : str
        "kernel", "bias", ...
    shape : tuple of int
    initializer : Initializer
    layer : str
        Name of the layer.
    trainable : bool
    lr_multiplier : float

    Attributes
    ----------
    offset : int
        Of its first element in the flat buffers.
    store : Store or None
        The buffers; None until a model builds.
    frozen : bool
        Whether its layer is not trainable.
    layer_multiplier : float
        Its layer's multiplier of the learning rate.
    regularizer : Regularizer or None
        What its size adds to the loss; compile again after a change.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        *,
        layer: str,
        trainable: bool = True,
        lr_multiplier: float = 1.0,
    ) -> None:
        self.name = name
        self.shape = tuple(int(n) for n in shape)
        self.initializer = initializer
        self.layer = layer
        self.frozen = False
        self.layer_multiplier = 1.0
        self.regularizer: Regularizer | None = None
        self.offset = 0
        self.store: Store | None = None
        self.build: Callable[[], None] | None = None  # of the model that it belongs to
        self._trainable = trainable
        self.lr_multiplier = lr_multiplier
        self._kept: NDArray[Any] | None = None  # values of a copy that is in no store yet

    def __getstate__(self) -> dict[str, Any]:
        values = self._kept if self.store is None and self.build is None else self.numpy()
        return {**self.__dict__, "store": None, "build": None, "_kept": values}

    def initial(self, generator: np.random.Generator) -> NDArray[Any]:
        """The values to begin with: those that a copy came with, or new ones."""
        kept, self._kept = self._kept, None
        return self.initializer(self.shape, generator) if kept is None else kept

    def keep(self, values: NDArray[Any]) -> None:
        """Begin with these values, of its shape, when a model builds."""
        self._kept = values

    @property
    def path(self) -> str:
        """Name with the layer's in front: "conv1.kernel"."""
        return f"{self.layer}.{self.name}"

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def trainable(self) -> bool:
        """Whether training changes it."""
        return self._trainable and not self.frozen

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    @property
    def lr_multiplier(self) -> float:
        """Factor of the learning rate for this array, on top of its layer's; may be set any time.

        At 0 the values and the optimizer's state of them stay as they are.
        """
        return self._lr_multiplier

    @lr_multiplier.setter
    def lr_multiplier(self, value: float) -> None:
        self._lr_multiplier = number(f"parameter {self.path!r}", "lr_multiplier", value)

    @property
    def multiplier(self) -> float:
        """The learning rate's factor: its own times its layer's."""
        return self._lr_multiplier * self.layer_multiplier

    @property
    def changes(self) -> bool:
        """Whether a training step changes it."""
        return self.trainable and self.multiplier > 0

    @property
    def value(self) -> NDArray[Any]:
        """The values, as a writable view of the model's buffer.

        Raises
        ------
        RuntimeError
            If the layer is in no model yet.
        """
        if self.store is None and self.build is not None:
            self.build()
        if self.store is None:
            raise RuntimeError(
                f"parameter {self.path!r} has no values yet: its layer is in no model; make one "
                "with Sequential([...]) or Model(inputs, outputs)"
            )
        return self.store.view(self)

    def assign(self, value: ArrayLike) -> None:
        """Set the values.

        Raises
        ------
        ValueError
            If the shape differs.
        """
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ValueError(
                f"layer {self.layer!r}: {self.name} has shape {self.shape}, got {array.shape}"
            )
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"layer {self.layer!r}: {self.name} takes real numbers, got {array.dtype}"
            )
        self.value[...] = array

    def numpy(self) -> NDArray[Any]:
        """Return a copy of the values."""
        return self.value.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.value, dtype=dtype, copy=True)

    def __repr__(self) -> str:
        frozen = "" if self.trainable else ", not trainable"
        return f"<Parameter {self.path} {self.shape}{frozen}>"


def assign(title: str, parameters: Sequence[Parameter], weights: Sequence[ArrayLike]) -> None:
    """Set parameters from arrays; all shapes are checked before anything changes."""
    for p, array in check_weights(title, parameters, weights):
        p.assign(array)


def check_weights(
    title: str, parameters: Sequence[Parameter], weights: Sequence[ArrayLike]
) -> list[tuple[Parameter, NDArray[Any]]]:
    """Each parameter with the array that is to be its value.

    Raises
    ------
    ValueError, TypeError
        If number, a shape or a dtype does not fit.
    """
    arrays = [np.asarray(w) for w in weights]
    if len(arrays) != len(parameters):
        each = ", ".join(f"{p.path} {p.shape}" for p in parameters)
        raise ValueError(f"{title} has {len(parameters)} weights, got {len(arrays)}; it has {each}")
    for p, array in zip(parameters, arrays, strict=True):
        if array.shape != p.shape:
            raise ValueError(f"layer {p.layer!r}: {p.name} has shape {p.shape}, got {array.shape}")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"layer {p.layer!r}: {p.name} takes real numbers, got {array.dtype}")
    return list(zip(parameters, arrays, strict=True))
