"""Layers that normalise their input."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from convkit.layers.base import Layer
from convkit.layers.checks import explained
from convkit.ops.batch_norm import batch_norm_params
from convkit.ops.lrn import lrn_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["BatchNormalization", "LocalResponseNormalization"]

# Arguments of other libraries' local response normalization, and what they are called here.
_LRN_NAMES = {
    "depth_radius": "size = 2 * depth_radius + 1",
    "bias": "k = bias",
    "local_size": 'size = local_size, with alpha_per="size"',
}


def check_unmasked(builder: Builder, layer: Layer) -> None:
    """Refuse to train on masked steps with a layer that would count them in its statistics.

    Raises
    ------
    ValueError
    """
    if builder.training and layer.uses_batch_statistics:
        raise ValueError(
            f"{layer.title} cannot leave masked steps out of the statistics of a batch; put it "
            "before the masking layer, or train without a mask"
        )


class BatchNormalization(Layer):
    """Give every channel mean 0 and variance 1 over the batch, then scale and shift it.

    Ioffe and Szegedy 2015. Training normalises by mean and variance of the batch and keeps moving
    averages of them, by which everything else normalises, as does training while the layer is
    frozen (``trainable = False``). Per channel the layer has gamma, beta, moving_mean and
    moving_variance; the last two are not trainable.

    Parameters
    ----------
    axis : int
        Of the channels: the last one.
    momentum : float
        Of the moving averages: ``moving = momentum * moving + (1 - momentum) * batch``, with the
        biased variance of the batch.
    epsilon : float
        Added to the variance; positive.
    center, scale : bool
        Whether there is a beta, a gamma.
    beta_initializer, gamma_initializer : str or Initializer
    moving_mean_initializer, moving_variance_initializer : str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : None
        Not supported.
    synchronized : bool
        Whether the batch is spread over devices; there is one, so only False.
    **kwargs
        Common arguments of `Layer`.
    """

    supports_masking = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: None = None,
        gamma_constraint: None = None,
        synchronized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            **kwargs,
        )
        if synchronized:
            raise ValueError(
                f"{self.title}: synchronized=True is not supported, the whole batch is on one "
                "device; leave it out"
            )
        try:
            self.axis = operator.index(axis)
        except TypeError:
            raise ValueError(f"{self.title}: axis must be -1, the last one, got {axis!r}") from None
        with explained(self):
            self._params = batch_norm_params(epsilon=epsilon, momentum=momentum)
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer
        self.gamma: Parameter | None = None
        self.beta: Parameter | None = None
        self.moving_mean: Parameter | None = None
        self.moving_variance: Parameter | None = None

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[-1],)
        if self.scale:
            self.gamma = self.add_weight("gamma", channels, self.gamma_initializer)
        if self.center:
            self.beta = self.add_weight("beta", channels, self.beta_initializer)
        self.moving_mean = self.add_weight(
            "moving_mean", channels, self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance", channels, self.moving_variance_initializer, trainable=False
        )

    def check_input(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise ValueError(f"{self.title} expects input (N, ..., C), got {shape}")
        if self.axis not in (-1, len(shape) - 1):
            raise ValueError(
                f"{self.title}: axis={self.axis} is not supported, channels are on the last axis "
                f"(input {shape}); leave axis out"
            )
        if self.built and self.moving_mean is not None and shape[-1:] != self.moving_mean.shape:
            raise ValueError(
                f"{self.title} has weights for {self.moving_mean.shape[0]} channels, got "
                f"{shape[-1]} (input {shape})"
            )

    @property
    def uses_batch_statistics(self) -> bool:
        return self.trainable

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        assert self.moving_mean is not None and self.moving_variance is not None
        x, moving = inputs[0], [self.moving_mean, self.moving_variance]
        kept = [builder.parameter(p) for p in moving]
        affine = [None if p is None else builder.parameter(p) for p in (self.gamma, self.beta)]
        if not (builder.training and self.uses_batch_statistics):
            y = builder.emit("batch_norm", "inference", [x, *kept, *affine], self._params)[0]
            assert y is not None
            return y
        if builder.mask(x) is not None:
            check_unmasked(builder, self)
        y, *batch = builder.emit("batch_norm", "forward", [x, *affine], self._params)
        builder.after_step("batch_norm", "update_moving", [*batch, *kept], self._params)
        assert y is not None
        return y


class LocalResponseNormalization(Layer):
    """Divide by a power of the sum of squares nearby: ``x (k + alpha sum x^2)^-beta``.

    Krizhevsky, Sutskever and Hinton 2012, section 3.3, whose constants are the defaults.

    Parameters
    ----------
    size : int
        Of the window, from ``size // 2`` before to ``(size - 1) // 2`` behind its centre;
        TensorFlow's depth_radius r is a size of ``2 * r + 1``.
    alpha, beta : float
        At least 0.
    k : float
        Positive; TensorFlow's bias.
    alpha_per : str
        "sum": alpha times the sum, as in the paper and TensorFlow; "size": alpha divided by the
        number of values in a window, as in PyTorch and Caffe.
    norm_region : str
        "across_channels": `size` channels at one place; "within_channel": `size` by `size` pixels
        of one channel of an image (N, H, W, C), as Caffe's WITHIN_CHANNEL.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        alpha_per: str = "sum",
        norm_region: str = "across_channels",
        **kwargs: Any,
    ) -> None:
        for name, own in _LRN_NAMES.items():
            if name in kwargs:
                raise TypeError(
                    f"layer {type(self).__name__} has no argument {name!r}; it is {own} here"
                )
        super().__init__(**kwargs)
        with explained(self):
            self._params = lrn_params(
                size, alpha, beta, k, alpha_per=alpha_per, norm_region=norm_region
            )
        self.size, self.alpha, self.beta, self.k = int(size), float(alpha), float(beta), float(k)
        self.alpha_per, self.norm_region = alpha_per, norm_region
        self.supports_masking = norm_region == "across_channels"  # within one it mixes steps

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self.infer("lrn", "forward", [input_shape], self._params)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        y = builder.emit("lrn", "forward", inputs[:1], self._params)[0]
        assert y is not None
        return y
