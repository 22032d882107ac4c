"""The criterion of LeNet-5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.checks import number
from convkit.losses.base import Loss
from convkit.program.logits import logits_of

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.builder import Builder
    from convkit.program.program import Value


class DiscriminativeMAP(Loss):
    """The criterion of LeNet-5 (LeCun et al. 1998, equation 9).

    For penalties y_k and the label D it is ``y_D + log(exp(-j) + sum_k exp(-y_k))``, averaged over
    the rows: the cross-entropy of softmax over the negated penalties and a further "rubbish" class
    of the constant penalty j. Penalties above j are pushed no further up.

    The prediction is ``-y_k``, or the softmax of it, which the program then skips: a model that
    ends in ``EuclideanRBF(negate=True, activation="softmax")`` predicts probabilities without the
    rubbish class and trains with it. As ``j`` grows, this becomes the sparse categorical
    cross-entropy. On arrays the prediction is always ``-y_k``.

    Parameters
    ----------
    j : float
        Penalty of the rubbish class. The paper gives no value; 5 does well on MNIST.
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "cross_entropy"  # of a softmax that belongs to it
    sparse = True
    aliases = ("discriminative_map",)

    def __init__(
        self,
        j: float = 5.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "discriminative_map",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)
        self.j = number("DiscriminativeMAP", "j", j, above=0)

    def emit(
        self,
        builder: Builder,
        prediction: Value,
        target: Value,
        weight: Value | None,
        gradient: bool,
    ) -> tuple[Value, Value | None]:
        logits = logits_of(builder.program, prediction, "softmax")
        if logits is None:
            logits = prediction
        *rows, _ = logits.spec.shape
        builder.layer = self.name
        rubbish = builder.constant(f"{self.name}.j", np.full((*rows, 1), -self.j))
        params: Params = {"axis": len(rows)}
        joined = builder.emit("concatenate", "forward", [logits, rubbish], params, prefix="l")[0]
        assert joined is not None
        return self._emit("softmax_cross_entropy", builder, joined, target, weight, gradient)

    def _of_rows(self, p: Array, y: Array, weight: Array | None) -> Array:
        from convkit import ops

        rubbish = np.full((*p.shape[:-1], 1), -self.j, p.dtype)
        joined = np.concatenate([p, rubbish], axis=-1)
        if y.size and int(y.max()) == p.shape[-1]:
            raise ValueError(
                f"DiscriminativeMAP: label {p.shape[-1]} is outside 0..{p.shape[-1] - 1}"
            )
        return ops.loss(joined, y, "softmax_cross_entropy", weight)[0]
