"""When to stop: nothing changes any more from one epoch to the next."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.callbacks.base import Callback, Logs
from convkit.checks import number, whole
from convkit.errors import did_you_mean
from convkit.ops.registry import Array

__all__ = ["Convergence"]

SUBJECTS = ("gradient", "loss", "weights")


class Convergence(Callback):
    """Stops when the gradient, the loss or the weights hardly change from epoch to epoch.

    At the end of each epoch t the change ``||v[t] - v[t-1]||`` is compared with `threshold`, where
    v is, by `on`,

    - "gradient": the gradient of the last step of the epoch with respect to all trainable weights
      as the optimizer took it, clipped if it clips. It is the gradient of the loss over all
      the data where an epoch is one step (``batch_size=len(x)``); of a batch among several it also
      changes because the batches differ, so the threshold must allow for that.
    - "loss": the epoch's training loss, a number.
    - "weights": all trainable weights.

    Parameters
    ----------
    threshold : float
        Changes of this size or smaller count as none. It is absolute, in the unit of v.
    on : {"gradient", "loss", "weights"}
    norm : {2, inf}
        Euclidean, or the largest absolute element; the same for the loss.
    patience : int
        Epochs in a row with such a small change after which training stops.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.

    Examples
    --------
    >>> import convkit as ck
    >>> stop = ck.callbacks.Convergence(1e-4, on="gradient", norm=2)
    """

    def __init__(
        self, threshold: float, on: str = "gradient", norm: float = 2, patience: int = 1
    ) -> None:
        super().__init__()
        self.threshold = number("Convergence", "threshold", threshold)
        if on not in SUBJECTS:
            raise ValueError(f"Convergence: unknown on={on!r}{did_you_mean(on, SUBJECTS)}")
        if norm not in (2, np.inf):
            raise ValueError(f"Convergence: norm must be 2 or inf, not {norm!r}")
        self.on = on
        self.needs_gradients = on == "gradient"
        self.norm = norm
        self.patience = whole("Convergence", "patience", patience, least=1)
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.change: float | None = None
        self._previous: Array | None = None

    def get_state(self) -> dict[str, Any]:
        state = {"wait": self.wait, "change": self.change, "previous": self._previous}
        # That of the last step, should the epoch end without another one.
        if self.on == "gradient" and self.model.store.has_step:
            state["gradients"] = self.model.store.gradients.copy()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        self.wait, self.change, self._previous = (
            state[name] for name in ("wait", "change", "previous")
        )
        if "gradients" in state:
            self.model.store.all_gradients()[...] = state["gradients"]

    def _subject(self, logs: Logs) -> Array:
        if self.on == "loss":
            return np.array([(logs or {}).get("loss", np.nan)], np.float64)
        store = self.model.store
        flat = store.gradients if self.on == "gradient" else store.parameters
        stretches = store.stretches()
        return np.concatenate(
            [flat[:0], *(flat[s.offset : s.offset + s.length] for s in stretches)]
        )

    def on_train_begin(self, logs: Logs = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value, previous = self._subject(logs), self._previous
        self._previous = value
        if previous is None or previous.shape != value.shape:  # a layer was frozen
            return
        difference = value.astype(np.float64) - previous
        self.change = float(np.linalg.norm(difference, self.norm)) if difference.size else 0.0
        self.wait = self.wait + 1 if self.change <= self.threshold else 0
        if self.wait >= self.patience:
            self.stop(
                f"the {self.on} changed by {self.change:.3g} from epoch {epoch} to {epoch + 1}, "
                f"and the threshold is {self.threshold:g}"
            )
