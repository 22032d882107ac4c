"""Layers of radial basis functions: units that measure how near the input is to their centre."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import activations, initializers
from convkit.layers.activations import emit_activation
from convkit.layers.base import Layer
from convkit.layers.checks import positive
from convkit.layers.digit_codes import DIGIT_CODES
from convkit.ops.rbf import rbf_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["RBF", "EuclideanRBF"]


class _Centred(Layer):
    """What layers have in common whose units have centres."""

    supports_masking = True
    units: int

    def check_input(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise ValueError(f"{self.title} expects input (N, ..., C), got {shape}")
        features = self._features()
        if features is not None and shape[-1] != features:
            raise ValueError(
                f"{self.title} has centres of {features} features, got {shape[-1]} (input {shape})"
            )

    def _features(self) -> int | None:
        """Features of the centres, where they are known."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Shape:
        w = (input_shape[-1], self.units)
        return self.infer("rbf", "distance", [input_shape, w], rbf_params())


def _centres(layer: Layer, argument: str, given: Any, units: int) -> NDArray[np.float32]:
    """Centres (units, C) as finite float32 numbers."""
    values = np.asarray(given)
    if values.ndim != 2 or len(values) != units or values.shape[1] < 1:
        raise ValueError(
            f"{layer.title}: {argument} must have shape (units, features) = ({units}, C), got "
            f"{values.shape}"
        )
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise ValueError(f"{layer.title}: {argument} must be finite numbers")
    return values.astype(np.float32)


class RBF(_Centred):
    """Gaussians of the distance to trainable centres, on the last axis.

    ``y_k = exp(-sum_c (x_c - w_ck)^2 / (2 sigma_k^2))``. With a `Dense` behind it, it is a network
    of radial basis functions (Broomhead and Lowe 1988; Moody and Darken 1989). MATLAB's spread,
    the distance at which a unit gives 1/2, is ``sigma * sqrt(2 ln 2)``.

    Its weights are the centres as the columns of ``centers`` (C, units), and ``log_sigma``
    (units,): training the logarithm keeps a width positive after a step of any size.

    Parameters
    ----------
    units : int
        Number of centres.
    sigma : float or array_like of shape (units,)
        The widths to begin with, above 0; `sigma` of a built layer are the present ones.
    centers : array_like, shape (units, C), optional
        The centres to begin with, such as samples of the data or means of clusters.
    centers_initializer : str or Initializer
        Where `centers` are not given: from the generator, for a weight (C, units).
    trainable_centers, trainable_sigma : bool
        Whether training changes them.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        units: int,
        sigma: Any = 1.0,
        centers: Any = None,
        centers_initializer: Any = "random_uniform",
        trainable_centers: bool = True,
        trainable_sigma: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive(self, "units", units)
        self.initial_sigma = self._widths(sigma)
        self.initial_centers = (
            None if centers is None else _centres(self, "centers", centers, self.units)
        )
        self.centers_initializer = initializers.get(centers_initializer)
        self.trainable_centers = bool(trainable_centers)
        self.trainable_sigma = bool(trainable_sigma)
        self.centers: Parameter | None = None
        self.log_sigma: Parameter | None = None

    def _widths(self, sigma: Any) -> NDArray[np.float64]:
        values = np.asarray(sigma)
        if values.shape not in ((), (self.units,)):
            raise ValueError(
                f"{self.title}: sigma must be a number or have shape ({self.units},), got "
                f"{values.shape}"
            )
        real = values.dtype.kind in "iuf"
        if not real or not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{self.title}: sigma must be above 0 and finite, got {sigma!r}")
        return values.astype(np.float64)

    @property
    def sigma(self) -> NDArray[np.float64]:
        """The widths, of shape (units,)."""
        if self.log_sigma is None:
            return np.broadcast_to(self.initial_sigma, (self.units,)).copy()
        return np.exp(self.log_sigma.numpy().astype(np.float64))

    def build(self, input_shape: Any) -> None:
        initializer = self.centers_initializer
        if self.initial_centers is not None:
            initializer = initializers.Constant(self.initial_centers.T)
        self.centers = self.add_weight(
            "centers", (input_shape[-1], self.units), initializer, self.trainable_centers
        )
        widths = initializers.Constant(np.log(self.initial_sigma))
        self.log_sigma = self.add_weight("log_sigma", (self.units,), widths, self.trainable_sigma)

    def _features(self) -> int | None:
        if self.centers is not None and self.built:
            return self.centers.shape[0]
        return None if self.initial_centers is None else self.initial_centers.shape[1]

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        assert self.centers is not None and self.log_sigma is not None
        w, s = builder.parameter(self.centers), builder.parameter(self.log_sigma)
        d = builder.emit("rbf", "distance", [inputs[0], w], rbf_params())[0]
        y = builder.emit("rbf", "gaussian", [d, s], rbf_params())[0]
        assert y is not None
        return y


class EuclideanRBF(_Centred):
    """Squared distances to a code for each class: the output layer of LeNet-5 (LeCun et al. 1998).

    ``y_k = sum_c (x_c - w_ck)^2``, equation 7 of the paper: the penalty of class k, 0 where the
    input is the class's code. `initial_codes` (units, C) are the codes to begin with; a trainable
    layer has them as the columns of its weight ``codes`` (C, units).

    Parameters
    ----------
    units : int
        Number of classes.
    codes : array_like, shape (units, C), optional
        By default bitmaps of the digits of 7 x 12, as +1 and -1, for inputs of 84 features.
    trainable : bool
        Whether the codes are weights that training changes. By default they are not: then they are
        constants of the program and count as no parameters, and stay so once the layer is built.
    negate : bool
        Give ``-y_k``: the largest is the class, and softmax makes posterior probabilities of them.
    activation : str, ActivationFunction, activation layer, optional
        Applied to the result, such as "softmax" with ``negate=True``.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        units: int = 10,
        codes: Any = None,
        trainable: bool = False,
        negate: bool = False,
        activation: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, **kwargs)
        self.units = positive(self, "units", units)
        if codes is None and self.units > len(DIGIT_CODES):
            raise ValueError(
                f"{self.title}: there are codes of {len(DIGIT_CODES)} digits, not of {units} "
                f"classes; pass codes of shape ({units}, C)"
            )
        given = DIGIT_CODES[: self.units] if codes is None else codes
        self.initial_codes = _centres(self, "codes", given, self.units)
        self.negate = bool(negate)
        self.activation = activations.get(activation)
        self.codes: Parameter | None = None

    def build(self, input_shape: Any) -> None:
        if self.trainable:
            codes = self.initial_codes.T
            self.codes = self.add_weight("codes", codes.shape, initializers.Constant(codes))

    def _features(self) -> int | None:
        return int(self.initial_codes.shape[1])

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        if self.codes is not None:
            w = builder.parameter(self.codes)
        else:
            w = builder.constant(f"{self.name}.codes", self.initial_codes.T)
        params = rbf_params(-1.0 if self.negate else 1.0)
        y = builder.emit("rbf", "distance", [inputs[0], w], params)[0]
        assert y is not None
        return emit_activation(builder, y, self.activation)
