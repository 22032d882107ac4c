"""A loss of one's own, from a function and its derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.activations import as_real
from convkit.losses.base import Loss
from convkit.ops.apply import apply
from convkit.ops.function import UserFunction
from convkit.ops.trials import try_function

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["CustomLoss"]

WIDTHS = (4, 1)  # of the predictions that a function is tried on


class CustomLoss(Loss):
    """A loss of one's own; also ``ck.Loss``.

    The native executor calls it. The derivative is compared with central differences in float64
    when the object is made, on predictions of both signs from -12 to 12, on probabilities and on
    numbers above 1, but at kinks and outside of the function's domain. Weights of samples and
    classes, masks and the reduction work as in the other losses, and the object is accepted as a
    metric as well.

    Parameters
    ----------
    f : callable
        ``f(y_true, y_pred) -> losses``: one number for each row, so shape (N,) for y_pred (N, K),
        and (N, ...) for y_pred (N, ..., K). y_true has y_pred's shape; of a `sparse` loss it is
        int32 labels of the shape of the losses. f treats each row by itself, in float32 or
        float64. It must not write to what it is given, nor keep it beyond the call.
    df : callable
        ``df(y_true, y_pred)``: the derivative of each row's loss with respect to its y_pred, of
        y_pred's shape, without any mean over the rows.
    name : str, optional
        By default f's name.
    sparse : bool
        Whether the targets are integer labels of K classes.
    outputs : int, optional
        The K that f takes, if it does not take any: that of the predictions it is tried on.
    reduction : str
        "sum_over_batch_size" or "sum", or "none" to call it for the losses of the rows.

    Raises
    ------
    TypeError
        If f or df cannot be called, or returns something else than an array of real numbers. One of
        another dtype than y_pred's is converted.
    ValueError
        If f mixes rows or returns another shape, or df is not its derivative.

    Notes
    -----
    The base of all losses, for ``isinstance``, is `convkit.losses.Loss`.

    Examples
    --------
    >>> import convkit as ck
    >>> import numpy as np
    >>> log_cosh = ck.Loss(
    ...     lambda t, p: np.log(np.cosh(p - t)).mean(axis=-1),
    ...     lambda t, p: np.tanh(p - t) / p.shape[-1],
    ...     name="log_cosh",
    ... )
    >>> log_cosh
    <CustomLoss log_cosh>
    """

    def __init__(
        self,
        f: Callable[[Array, Array], Any],
        df: Callable[[Array, Array], Any],
        name: str | None = None,
        sparse: bool = False,
        *,
        outputs: int | None = None,
        reduction: str | None = "sum_over_batch_size",
    ) -> None:
        name = str(name or getattr(f, "__name__", type(f).__name__)).strip("<>")
        super().__init__(name, reduction)
        self.f, self.df = f, df
        self.sparse = bool(sparse)
        self.outputs = outputs
        for argument, value in (("f", f), ("df", df)):
            if not callable(value):
                raise TypeError(f"{self.title}: {argument} must be a function, got {value!r}")
        if outputs is not None and outputs < 1:
            raise ValueError(f"{self.title}: outputs must be at least 1, got {outputs}")
        self._check()

    @property
    def title(self) -> str:
        """The loss in error messages: loss 'log_cosh'."""
        return f"loss {self.name!r}"

    def emit(
        self,
        builder: Builder,
        prediction: Value,
        target: Value,
        weight: Value | None,
        gradient: bool,
    ) -> tuple[Value, Value | None]:
        self._check_outputs(prediction.spec.shape)
        params: dict[str, Any] = {
            "function": self._user_function(),
            "scale": self._scale(builder, prediction),
        }
        pass_name = "loss_backward" if gradient else "loss"
        return self._append(builder, "function", pass_name, [prediction, target, weight], params)

    def _of_rows(self, p: Array, y: Array, weight: Array | None) -> Array:
        self._check_outputs(p.shape)
        wanted = p.shape[:-1] if self.sparse else p.shape
        if self.sparse and y.shape == (*wanted, 1):
            y = y.reshape(wanted)
        if y.shape != wanted:
            raise ValueError(f"{self.title}: y_true has shape {y.shape}, expected {wanted}")
        y = y.astype(np.int32) if self.sparse else y
        params: dict[str, Any] = {"function": self._user_function(), "scale": 1.0}
        losses: Array = apply("function", "loss", [p, y, weight], params)[0]
        return losses.reshape(p.shape[:-1])

    def _check_outputs(self, shape: tuple[int, ...]) -> None:
        if self.outputs is not None and shape[-1] != self.outputs:
            raise ValueError(
                f"{self.title} was made for y_pred (..., {self.outputs}), got {shape}; its "
                "derivative was not checked on others"
            )

    def _user_function(self) -> UserFunction:
        inputs, names = ("y_pred", "y_true"), ("function f", "derivative df")
        return UserFunction(self.title, self._forward, self._backward, inputs, names, self.name)

    def _forward(self, p: Array, t: Array) -> Any:
        return as_real(self.f(t, p), p.dtype)

    def _backward(self, dy: Array, y: Array, p: Array, t: Array) -> Any:
        slope = as_real(self.df(t, p), p.dtype)
        # What has another shape is refused.
        return dy[..., None] * slope if np.shape(slope) == p.shape else slope, None

    def _check(self) -> None:
        hint = (
            "df(y_true, y_pred) must return the derivative of each row's loss with respect to "
            "y_pred"
        )
        call = self._user_function()
        widths = WIDTHS if self.outputs is None else (self.outputs,)
        trials = (pair for k in widths for pair in _samples(k, self.sparse))
        way = "; give outputs=, the width of y_pred that it takes" if self.outputs is None else ""
        try_function(call, trials, (), hint, unit="row", batched=2, random=False, required=way)


def _samples(k: int, sparse: bool) -> Iterator[tuple[Array, Array]]:
    """Predictions (3, k) and targets, read-only, for losses with domains."""
    rng = np.random.Generator(np.random.Philox(0))
    shape = (3, k)
    labels = rng.integers(0, k, 3)
    rows = rng.uniform(0.1, 1, shape)
    pairs = [
        (rng.standard_normal(shape), rng.standard_normal(shape)),
        (rng.standard_normal(shape), np.where(rng.uniform(size=shape) < 0.5, 1.0, -1.0)),
        (rng.uniform(0.05, 0.95, shape), np.rint(rng.uniform(size=shape))),
        (rows / rows.sum(axis=1, keepdims=True), np.eye(k)[labels]),
        (rng.uniform(1, 2, shape), rng.uniform(1, 2, shape)),
        (rng.uniform(-12, 12, shape), rng.standard_normal(shape)),
    ]
    for p, t in pairs:
        t = labels.astype(np.int32) if sparse else t
        for array in (p, t):
            array.flags.writeable = False  # as when the model runs
        yield p, t
