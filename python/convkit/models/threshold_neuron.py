"""Threshold neurons: logic gates, which do not learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.errors import did_you_mean
from convkit.models.arguments import count
from convkit.models.estimators import as_points
from convkit.saving.estimators import Estimator

__all__ = ["ThresholdNeuron"]

# Weight of every input and threshold, for n inputs.
_GATES: dict[str, Callable[[int], tuple[float, float]]] = {
    "AND": lambda n: (1.0, float(n)),
    "OR": lambda n: (1.0, 1.0),
    "NAND": lambda n: (-1.0, 1.0 - n),
    "NOR": lambda n: (-1.0, 0.0),
    "NOT": lambda n: (-1.0, 0.0),
}


class ThresholdNeuron(Estimator):
    """A neuron that fires when the weighted sum of its inputs reaches a threshold.

    ``y = 1 if sum_i w_i x_i >= threshold else 0``. It computes logic but does not learn (McCulloch
    and Pitts, "A logical calculus of the ideas immanent in nervous activity", 1943). The activation
    "step" of layers differs at one point: it is 0 at 0, where this neuron fires.

    Parameters
    ----------
    weights : array_like, shape (C,)
    threshold : float, optional
        By default 0.
    bias : float, optional
        The same with the other sign: ``sum_i w_i x_i + bias >= 0``. Give one of the two.

    Attributes
    ----------
    weights : ndarray of float64, shape (C,)
    threshold : float

    Raises
    ------
    ValueError
        If both threshold and bias are given, or a number is not finite.

    Examples
    --------
    >>> from convkit.models import ThresholdNeuron
    >>> both = ThresholdNeuron([1, 1], threshold=2)
    >>> both(1, 1), both(1, 0)
    (1, 0)
    >>> ThresholdNeuron.gate("NAND").predict([[0, 0], [0, 1], [1, 0], [1, 1]])
    array([1, 1, 1, 0])
    """

    def __init__(
        self, weights: ArrayLike, threshold: float | None = None, bias: float | None = None
    ) -> None:
        if threshold is not None and bias is not None:
            raise ValueError(
                "[ThresholdNeuron] threshold and bias are the same with opposite signs; give one"
            )
        self.weights = np.atleast_1d(np.asarray(weights, np.float64))
        self.threshold = float(threshold or 0.0) if bias is None else 0.0 - float(bias)
        if self.weights.ndim != 1 or not self.weights.size:
            raise ValueError(
                f"[ThresholdNeuron] weights must have shape (C,), got {self.weights.shape}"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.threshold)):
            raise ValueError("[ThresholdNeuron] weights and threshold must be finite")

    def _arguments(self) -> dict[str, Any]:
        return {"weights": self.weights, "threshold": self.threshold}

    @classmethod
    def gate(cls, name: str, inputs: int | None = None) -> ThresholdNeuron:
        """The neuron that is a logic gate on inputs of 0 and 1.

        Parameters
        ----------
        name : str
            "AND", "OR", "NAND", "NOR" or "NOT".
        inputs : int, optional
            By default 2; of NOT, 1.

        Raises
        ------
        ValueError
            For XOR and XNOR too, which no line separates: they take two layers (Minsky and Papert,
            "Perceptrons", 1969).
        """
        kind = name.upper() if isinstance(name, str) else name
        if kind in ("XOR", "XNOR"):
            raise ValueError(
                f"[ThresholdNeuron] no single neuron computes {kind}, which is not linearly "
                "separable; XOR is AND of OR and NAND"
            )
        if kind not in _GATES:
            raise ValueError(f"[ThresholdNeuron] unknown gate {name!r}{did_you_mean(name, _GATES)}")
        n = count("ThresholdNeuron", "inputs", inputs, 1 if kind == "NOT" else 2)
        if kind == "NOT" and n != 1:
            raise ValueError(f"[ThresholdNeuron] NOT has one input, got {n}; NOR takes more")
        weight, threshold = _GATES[kind](n)
        return cls(np.full(n, weight), threshold)

    def __call__(self, *inputs: float) -> int:
        """Whether the neuron fires, 1 or 0."""
        return int(self.predict([inputs])[0])

    def predict(self, x: ArrayLike) -> NDArray[np.intp]:
        """Whether the neuron fires, for each sample.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray of int, shape (N,)
        """
        points = as_points("ThresholdNeuron", x, len(self.weights))
        return (points @ self.weights >= self.threshold).astype(np.intp)

    def __repr__(self) -> str:
        return f"ThresholdNeuron({self.weights.tolist()}, threshold={self.threshold:g})"
