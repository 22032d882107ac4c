"""Layers that bring two domains together, and further losses inside of a model.

They pass a value on and add a term to the loss, reported under the layer's name. In prediction they
do nothing.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import losses
from convkit.checks import number
from convkit.layers.base import Layer
from convkit.ops.domain_distance import domain_distance_params
from convkit.ops.gradient_scale import gradient_scale_params
from convkit.ops.registry import Array

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["CORAL", "MMD", "AuxiliaryLoss", "GradientReversal"]


class GradientReversal(Layer):
    """Pass a value on as it is, and its gradient times ``-strength``.

    What lies before it learns to do badly what lies behind it learns to do well: features that do
    not tell one domain from the other (Ganin et al. 2016, Domain-adversarial training of neural
    networks, section 4.1).

    Parameters
    ----------
    strength : float
        The paper's lambda.
    ramp_steps : int
        Steps of training over which it rises from 0, ``2 / (1 + exp(-10 p)) - 1`` of it after the
        share p of them (section 5.2.2), so that the heads learn something before they are deceived;
        by default it is the same from the first step on.
    **kwargs
        Common arguments of `Layer`.
    """

    supports_masking = True

    def __init__(self, strength: float = 1.0, ramp_steps: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= ramp_steps < math.inf:
            raise ValueError(
                f"{self.title}: ramp_steps must be a number of steps, or 0, got {ramp_steps}"
            )
        self.strength, self.ramp_steps = number(self.title, "strength", strength), ramp_steps

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        if not builder.differentiated:
            return inputs[0]
        params = gradient_scale_params(-self.strength, self.ramp_steps)
        y = builder.emit("gradient_scale", "forward", [inputs[0]], params)[0]
        assert y is not None
        return y


class _Distance(Layer):
    """Passes a value on, and adds a distance of two domains' features to the loss."""

    takes_list = True
    supports_masking = True
    kind = ""

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight = number(self.title, "weight", weight)

    def _params(self, scale: float) -> dict[str, int | float | str]:
        return domain_distance_params(self.kind, scale=scale)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        if len(input_shape) not in (2, 3):
            raise ValueError(
                f"{self.title} is called on [source features, target features], or on [what it "
                f"passes on, source features, target features], got {len(input_shape)} inputs"
            )
        source, target = input_shape[-2:]
        if source[1:] != target[1:]:
            raise ValueError(
                f"{self.title}: the features of the two domains have shapes {source} and {target}; "
                "they must be equal, as those of one base called on both"
            )
        return tuple(input_shape[0])

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        if builder.program.has_loss:
            source, target = (_flat(builder, value) for value in inputs[-2:])
            params = self._params(self.weight * builder.share)
            pass_name = "backward" if builder.differentiated else "forward"
            total, *slopes = builder.emit(
                "domain_distance", pass_name, [source, target], params, prefix="r"
            )
            assert total is not None
            seeds = [
                (v, d) for v, d in zip((source, target), slopes, strict=False) if d is not None
            ]
            builder.add_term(self.name, total, seeds)
        return inputs[0]


class CORAL(_Distance):
    """Draw the covariances of two domains' features together (Sun and Saenko 2016, Deep CORAL).

    It is called on ``[source, target]``, the features that one base makes of both inputs, and
    passes the source's on; or on ``[value, source, target]``, and passes the value on. It adds
    ``weight * |C_s - C_t|^2 / (4 D^2)`` to the loss (equation 1), with the covariances of the batch
    and D features; features of several axes are flattened.

    Parameters
    ----------
    weight : float
    **kwargs
        Common arguments of `Layer`.

    Examples
    --------
    >>> import convkit as ck
    >>> base, head = ck.layers.Dense(8, "relu"), ck.layers.Dense(3, "softmax")
    >>> source, target = ck.Input((4,)), ck.Input((4,))
    >>> features = base(source)
    >>> classes = head(features)
    >>> trained = ck.layers.CORAL(1.0)([classes, features, base(target)])
    >>> trainer = ck.Model([source, target], trained)  # fit([x_source, x_target], y_source)
    >>> model = ck.Model(source, classes)  # predicts, with the same weights
    """

    kind = "coral"

    def __init__(self, weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(weight, **kwargs)


class MMD(_Distance):
    """Draw the distributions of two domains' features together, by the maximum mean discrepancy.

    It is called as `CORAL` is, and adds weight times the biased estimate of the squared discrepancy
    (Gretton et al. 2012, equation 5) of the batch, for the mean of several Gaussian kernels (Long
    et al. 2015, section 3.1) ``exp(-|x - y|^2 / (2^q s))``.

    Parameters
    ----------
    weight : float
    width : float
        The kernels' s; 0, the default, takes the mean squared distance of two rows of the batch,
        as a constant: what s owes to the features is not differentiated (nor is it by Long et
        al.), so that `check_gradients` needs a width.
    kernels : int
        How many, an odd number: q runs from ``-(kernels - 1) / 2`` to ``(kernels - 1) / 2``.
    **kwargs
        Common arguments of `Layer`.
    """

    kind = "mmd"

    def __init__(
        self, weight: float = 1.0, width: float = 0.0, kernels: int = 5, **kwargs: Any
    ) -> None:
        super().__init__(weight, **kwargs)
        self.width, self.kernels = float(width), kernels
        self._params(1.0)

    def _params(self, scale: float) -> dict[str, int | float | str]:
        try:
            return domain_distance_params("mmd", self.width, self.kernels, scale)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self.title}: {error}") from None


class AuxiliaryLoss(Layer):
    """Pass a value on, and add a further loss, of another value, to the model's.

    It is called on ``[value, prediction]``: a domain head's output, the classes of an inner layer
    (Szegedy et al. 2015, Going deeper with convolutions, section 5). With ``target=None`` on
    ``[value, prediction, target]``, all three nodes: a model that reconstructs its input.

    Parameters
    ----------
    loss : str or Loss
        Of the prediction; its mean over the batch counts.
    weight : float
    target : float, array_like or None
        The same for every sample: a number, or values of a prediction's shape; of losses that take
        labels a label.
    **kwargs
        Common arguments of `Layer`.

    Examples
    --------
    >>> import convkit as ck
    >>> x = ck.Input((4,))
    >>> h = ck.layers.Dense(3, "tanh")(x)
    >>> decoded = ck.layers.Dense(4)(h)
    >>> classes = ck.layers.Dense(2, "softmax")(h)
    >>> model = ck.Model(x, ck.layers.AuxiliaryLoss("mse", 0.1)([classes, decoded, x]))
    """

    takes_list = True
    supports_masking = True

    def __init__(self, loss: Any, weight: float = 1.0, target: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss = losses.get(loss)
        self.weight = number(self.title, "weight", weight)
        self.target = target
        if target is not None and not np.isfinite(np.asarray(target, np.float64)).all():
            raise ValueError(f"{self.title}: target must be finite, got {target!r}")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        if len(input_shape) != (3 if self.target is None else 2):
            wanted = "[value, prediction, target]" if self.target is None else "[value, prediction]"
            raise ValueError(
                f"{self.title} with target={self.target!r} is called on {wanted}, got "
                f"{len(input_shape)} inputs"
            )
        prediction = tuple(input_shape[1])
        if self.target is None:
            if self.loss.sparse:
                raise ValueError(
                    f"{self.title}: loss {self.loss.name!r} takes integer labels, and nodes are "
                    "not; give target= a label, or take a loss of one-hot targets"
                )
            if input_shape[2][1:] != prediction[1:]:
                raise ValueError(
                    f"{self.title}: the prediction is {prediction}, its target {input_shape[2]}; "
                    "they must be equal"
                )
        else:
            self._constant((1, *(n or 1 for n in prediction[1:])))
        return tuple(input_shape[0])

    def _constant(self, shape: tuple[int, ...]) -> Array:
        """The target of each row of predictions of that shape."""
        if not self.loss.sparse:
            try:
                return np.array(np.broadcast_to(np.asarray(self.target, np.float64), shape))
            except ValueError:
                raise ValueError(
                    f"{self.title}: target has shape {np.shape(self.target)}, which does not fit "
                    f"predictions {(None, *shape[1:])}"
                ) from None
        if not isinstance(self.target, int | np.integer) or not 0 <= self.target < shape[-1]:
            raise ValueError(
                f"{self.title}: loss {self.loss.name!r} takes a label from 0 to {shape[-1] - 1} as "
                f"target, got {self.target!r}"
            )
        return np.full(shape[:-1], self.target, np.int32)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        if builder.program.has_loss:
            self._emit_loss(builder, inputs[1], inputs[2] if len(inputs) > 2 else None)
        return inputs[0]

    def _emit_loss(self, builder: Builder, prediction: Value, target: Value | None) -> None:
        shape = prediction.spec.shape
        if target is None:
            target = builder.constant(f"{self.name}.target", self._constant(shape))
        # The mean, the weight and the share are those of the rows, for the total to have them too.
        rows = math.prod(shape[:-1])
        each = np.full(shape[:-1], self.weight * builder.share / max(rows, 1))
        counted = builder.constant(f"{self.name}.weight", each)
        counted_rows = builder.masked_weight(prediction, counted, mean=True)
        summed = copy.copy(self.loss)
        summed.reduction = "sum"
        gradient = builder.differentiated
        total, dp = summed.emit(builder, prediction, target, counted_rows, gradient)
        builder.layer = self.name
        seeds = [] if dp is None else [(builder.program.instructions[-1].inputs[0], dp)]
        builder.add_term(self.name, total, [(p, d) for p, d in seeds if p is not None])


def _flat(builder: Builder, value: Value) -> Value:
    shape = value.spec.shape
    return builder.view(value, (shape[0], math.prod(shape[1:])))
