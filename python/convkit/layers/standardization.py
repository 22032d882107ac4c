"""Normalization: features with mean 0 and variance 1, by what was measured before training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import initializers
from convkit.layers.base import Layer
from convkit.ops.batch_norm import batch_norm_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Normalization"]

BLOCK = 1 << 20  # values that are added up together
# Keras divides by max(sqrt(variance), 1e-7): so does 1 / sqrt(variance + 1e-14), but for its last
# digits.
EPSILON = 1e-14


class Normalization(Layer):
    """Subtract the mean and divide by the standard deviation of the data, feature by feature.

    `adapt` measures them before training; until then the layer changes nothing. They are weights
    that training leaves alone.

    Parameters
    ----------
    axis : int or None
        Of the features, the last one; None: one mean and one variance for all numbers.
    mean, variance : float or array_like, optional
        Instead of `adapt`; both or none.
    invert : bool
        Only False.
    **kwargs
        Common arguments of `Layer`.

    Examples
    --------
    >>> import convkit as ck
    >>> layer = ck.layers.Normalization()
    >>> layer.adapt([[1.0, 10.0], [3.0, 30.0]])
    >>> model = ck.Sequential([ck.Input((2,)), layer])
    >>> model.predict([[3.0, 10.0]]).tolist()
    [[1.0, -1.0]]
    """

    supports_masking = True

    def __init__(
        self,
        axis: int | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
            raise ValueError(
                f"{self.title}: axis must be -1, the last one, or None, got {axis!r}; features on "
                "several axes are measured with x.reshape(len(x), -1)"
            )
        if invert:
            raise ValueError(
                f"{self.title}: invert=True is not supported; multiply predictions by the "
                "deviation and add the mean in NumPy"
            )
        if (mean is None) != (variance is None):
            raise ValueError(f"{self.title}: mean and variance come together, got one of them")
        self.axis, self.invert = axis, False
        self._given = mean is not None
        self._measured: tuple[NDArray[Any], NDArray[Any]] | None = None
        if mean is not None and variance is not None:
            self._measured = np.asarray(mean, np.float64), np.asarray(variance, np.float64)
            if not (np.isfinite(self._measured).all() and (self._measured[1] >= 0).all()):
                raise ValueError(
                    f"{self.title}: mean and variance must be finite, the variance not negative"
                )
        self.mean: Parameter | None = None
        self.variance: Parameter | None = None

    def _arguments(self) -> dict[str, Any]:
        """See `Configured`; with what was measured, as long as that is in no weights."""
        found = super()._arguments()
        if self._measured is not None and not self.built:
            found["mean"], found["variance"] = self._measured
        return found

    def check_input(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise ValueError(f"{self.title} expects input (N, ..., C), got {shape}")
        if self.axis not in (None, -1, len(shape) - 1):
            raise ValueError(
                f"{self.title}: axis={self.axis} is not supported, features are on the last axis "
                f"(input {shape}); leave axis out"
            )
        if self.built and self.mean is not None and shape[-1:] != self.mean.shape:
            raise ValueError(
                f"{self.title} has a mean for {self.mean.shape[0]} features, got {shape[-1]} "
                f"(input {shape})"
            )

    def _values(self, features: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Mean and variance of each feature."""
        measured = self._measured or (np.zeros(()), np.ones(()))
        for value in measured:
            if value.ndim and value.shape != (features,):
                raise ValueError(
                    f"{self.title}: mean and variance of shape {value.shape} do not fit data with "
                    f"{features} features"
                )
        return tuple(np.broadcast_to(v, (features,)) for v in measured)  # type: ignore[return-value]

    def build(self, input_shape: Any) -> None:
        mean, variance = self._values(input_shape[-1])
        self.mean = self.add_weight(
            "mean", mean.shape, initializers.Constant(mean), trainable=False
        )
        self.variance = self.add_weight(
            "variance", mean.shape, initializers.Constant(variance), trainable=False
        )

    def adapt(self, data: Any) -> None:
        """Measure mean and variance, in float64, a part of the data at a time.

        Parameters
        ----------
        data : array_like, or iterable of batches
            Of shape (N, ..., C), or (N,) if `axis` is None. Without the targets, or with them as
            batches of ``fit`` have them; memory-mapped arrays are read bit by bit.

        Raises
        ------
        ValueError
            If mean and variance were given, the data is empty or not finite, or has another number
            of features than the layer.
        """
        if self._given:
            raise ValueError(
                f"{self.title} was given mean and variance; leave them out to measure them"
            )
        count = 0
        mean: NDArray[Any] = np.zeros(1)
        squares: NDArray[Any] = np.zeros(1)
        for part in _parts(self, data):
            rows = part.reshape(-1, 1 if self.axis is None else part.shape[-1]).astype(np.float64)
            if count and rows.shape[1:] != mean.shape:
                raise ValueError(
                    f"{self.title}: the data has {mean.shape[0]} features first and then "
                    f"{rows.shape[1]}"
                )
            # Chan, Golub and LeVeque 1979: sums of parts, without differences of large numbers.
            n, own = len(rows), rows.mean(axis=0)
            away = own - mean
            within = ((rows - own) ** 2).sum(axis=0)
            squares = squares + within + away**2 * (count * n / (count + n))
            mean = mean + away * (n / (count + n))
            count += n
        if not count:
            raise ValueError(f"{self.title}: the data is empty, there is nothing to measure")
        if not (np.isfinite(mean).all() and np.isfinite(squares).all()):
            raise ValueError(f"{self.title}: the data holds NaN or infinity")
        shape = () if self.axis is None else mean.shape
        self._measured = mean.reshape(shape), (squares / count).reshape(shape)
        if self.mean is not None and self.variance is not None:
            new_mean, new_variance = self._values(self.mean.shape[0])
            self.mean.assign(new_mean)
            self.variance.assign(new_variance)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        assert self.mean is not None and self.variance is not None
        kept = [builder.parameter(p) for p in (self.mean, self.variance)]
        params = batch_norm_params(epsilon=EPSILON)
        (y,) = builder.emit("batch_norm", "inference", [inputs[0], *kept, None, None], params)
        assert y is not None
        return y


def _parts(layer: Layer, data: Any) -> Iterator[NDArray[Any]]:
    """Data a few rows at a time; not those of a map all at once."""
    from convkit.data.files import rows_of
    from convkit.models.data import as_source, is_arrays
    from convkit.models.feeds import split_batch

    title = f"{layer.title}: data"
    if not is_arrays(data):
        if not isinstance(data, Iterable):
            raise TypeError(f"{title} must be an array or an iterable of batches")
        for batch in data:
            yield from _parts(layer, np.asarray(split_batch(batch)[0]))
        return
    array = np.asarray(data)
    as_source(array[:0] if array.ndim else array, title)  # refuses what is no number
    if array.ndim == 1 and isinstance(layer, Normalization) and layer.axis is None:
        array = array[:, None]
    if array.ndim < 2:
        raise ValueError(
            f"{title} has shape {array.shape}, expected (N, ..., C); one feature is x[:, None]"
        )
    source = rows_of(array)
    step = max(BLOCK // max(math.prod(array.shape[1:]), 1), 1)
    try:
        for begin in range(0, len(array) if array.size else 0, step):
            rows = np.arange(begin, min(begin + step, len(array)))
            part = np.empty((len(rows), *array.shape[1:]), array.dtype)
            source.read(rows, part)
            yield part
    finally:
        source.close()
