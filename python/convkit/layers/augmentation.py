"""Layers that change images at random while training; in everything else they do nothing.

The changes follow from the global seed, the layer and the step, as dropout's masks do: every
executor draws the same, on any number of threads, and so does training that is taken up again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer
from convkit.layers.checks import channels_last, explained
from convkit.ops.augment import CENTRE, Range, augment_params

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["RandomCrop", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom"]

MODES = {
    "horizontal": ((0.0, 0.0), (0.0, 1.0)),
    "vertical": ((0.0, 1.0), (0.0, 0.0)),
    "horizontal_and_vertical": ((0.0, 1.0), (0.0, 1.0)),
}


class Augmentation(Layer):
    """What the layers of this file have in common.

    Parameters
    ----------
    kind : str
        Of the op.
    height, width : pair of float
        Ranges of the numbers that are drawn; `width` None: the height's number.
    seed : int, optional
    data_format : str, optional
    options : dict
        Further parameters of the op.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        kind: str,
        height: Range,
        width: Range | None,
        seed: int | None,
        data_format: str | None,
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        channels_last(self, data_format)
        self._kind, self._height, self._width = kind, height, width
        self._options = options or {}
        self.seed = seed
        with explained(self):
            self._params(0)

    def _params(self, stream: int, centre: bool = False) -> dict[str, int | float | str]:
        height, width = self._height, self._width
        if centre:
            height, width = (CENTRE, CENTRE), None
        return augment_params(self._kind, height, width, stream=stream, **self._options)

    def check_input(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise ValueError(f"{self.title} expects images (N, H, W, C), got {shape}")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self.infer("augment", "forward", [input_shape], self._params(0))

    def _stream(self, builder: Builder) -> int:
        """Of its own in the model, and none of dropout's."""
        if self.seed is not None:
            return 3 << 30 | self.seed & 0x3FFFFFFF
        return 1 << 30 | sum(i.op == "augment" for i in builder.program.instructions)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        if not builder.training and self._kind != "crop":
            return inputs[0]
        params = self._params(self._stream(builder), centre=not builder.training)
        (y,) = builder.emit("augment", "forward", inputs, params)
        assert y is not None
        return y


def _factor(layer: str, name: str, value: Any) -> Range:
    """A factor of Keras as a range: one number stands for both directions.

    Raises
    ------
    ValueError
    """
    try:
        low, high = (-abs(value), abs(value)) if np.ndim(value) == 0 else value
        if not math.isfinite(low) or not low <= high < math.inf:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"{layer}: {name} must be a number, or two with the smaller one first, got {value!r}"
        ) from None
    return float(low), float(high)


class RandomFlip(Augmentation):
    """Mirror every other image, at random.

    Parameters
    ----------
    mode : str
        "horizontal" (left and right change places), "vertical" or "horizontal_and_vertical"
        (each by itself, so that a quarter of the images stays as it is).
    seed : int, optional
        Tells this layer's choices from those of other layers; by default the layer's place in the
        model does. They depend on the global seed as well.
    data_format : str, optional
        None or "channels_last".
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        mode: str = "horizontal_and_vertical",
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        if mode not in MODES:
            known = ", ".join(map(repr, MODES))
            raise ValueError(f"RandomFlip: mode must be one of {known}, got {mode!r}")
        super().__init__("flip", *MODES[mode], seed, data_format, **kwargs)
        self.mode = mode


class RandomTranslation(Augmentation):
    """Shift every image by random parts of its height and width.

    Parameters
    ----------
    height_factor, width_factor : float or pair of float
        How far, in parts of the image, from -1 to 1: 0.1 is (-0.1, 0.1). Positive numbers go down
        and to the right.
    fill_mode : str
        What comes in at the edges: "reflect" (the mirrored image, the last pixel twice), "nearest"
        (the last pixel), "wrap" (the other side) or "constant" (`fill_value`).
    interpolation : str
        "bilinear", or "nearest": whole pixels, which stay as they are.
    seed : int, optional
        See `RandomFlip`.
    fill_value : float
    data_format : str, optional
        None or "channels_last".
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        title = type(self).__name__
        height = _factor(title, "height_factor", height_factor)
        width = _factor(title, "width_factor", width_factor)
        options = _filling(fill_mode, interpolation, fill_value)
        super().__init__("shift", height, width, seed, data_format, options, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.fill_mode, self.interpolation = fill_mode, interpolation
        self.fill_value = fill_value


class RandomZoom(Augmentation):
    """Shrink or enlarge every image about its middle by random factors.

    Parameters
    ----------
    height_factor : float or pair of float
        0.2 is (-0.2, 0.2). A number r shows 1 + r times the height: positive numbers zoom out,
        negative ones, of more than -1, zoom in.
    width_factor : float or pair of float, optional
        By default the image keeps its proportions.
    fill_mode, interpolation, seed, fill_value, data_format
        See `RandomTranslation`.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        height_factor: Any,
        width_factor: Any = None,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        title = type(self).__name__
        height = _factor(title, "height_factor", height_factor)
        width = None if width_factor is None else _factor(title, "width_factor", width_factor)
        options = _filling(fill_mode, interpolation, fill_value)
        super().__init__("zoom", height, width, seed, data_format, options, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.fill_mode, self.interpolation = fill_mode, interpolation
        self.fill_value = fill_value


class RandomRotation(Augmentation):
    """Turn every image about its middle by a random angle.

    Parameters
    ----------
    factor : float or pair of float
        In whole turns, from -1 to 1: 0.1 is (-0.1, 0.1), up to 36 degrees to either side. Positive
        numbers turn counter-clockwise.
    fill_mode, interpolation, seed, fill_value, data_format
        See `RandomTranslation`.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        factor: Any,
        fill_mode: str = "reflect",
        interpolation: str = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        turn = _factor(type(self).__name__, "factor", factor)
        options = _filling(fill_mode, interpolation, fill_value)
        super().__init__("rotate", turn, None, seed, data_format, options, **kwargs)
        self.factor = factor
        self.fill_mode, self.interpolation = fill_mode, interpolation
        self.fill_value = fill_value


class RandomCrop(Augmentation):
    """Cut a piece out of every image: at a random place in training, else in the middle.

    Parameters
    ----------
    height, width : int
        Of the piece. Images that are smaller are refused: pad them before, as with
        `ZeroPadding2D`.
    seed : int, optional
        See `RandomFlip`.
    data_format : str, optional
        None or "channels_last".
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        height: int,
        width: int,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        size = {"size": (height, width)}
        super().__init__("crop", (0.0, 1.0), (0.0, 1.0), seed, data_format, size, **kwargs)
        self.height, self.width = height, width


def _filling(fill_mode: str, interpolation: str, fill_value: Any) -> dict[str, Any]:
    return {"fill_mode": fill_mode, "interpolation": interpolation, "fill_value": fill_value}
