"""What ``fit`` returns."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit.callbacks.base import Callback, Logs

__all__ = ["History"]


class History(Callback):
    """What ``fit`` returns.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", the metrics, and the same with "val_" in front for the selection part and "test_"
        for the testing part, one value per epoch. If the loss has terms beside the error, such as
        "regularization", these are there apart: loss = error + regularization.
    epoch : list of int
    at : dict of str to list of int
        The epoch of each value in `history`: validation may be done every few epochs only.
    stopped : str
        Why training ended: "all 10 epochs done", "EarlyStopping: val_loss ...", "interrupted in
        epoch 3, after 17 of its steps".
    complete : bool
        Whether it came to its end, rather than being broken off by an error, the user or a
        `TimeLimit`.
    parts : dict of str to ndarray of int
        Which samples were for "training", "selection" and "testing", of ``fit(split=...)``.
    kernels : dict of str to str
        Those that were chosen: see ``model.kernels()``.
    params : dict
    """

    reports_only = True

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.at: dict[str, list[int]] = {}
        self.stopped = ""
        self.complete = False
        self.parts: dict[str, NDArray[np.int64]] = {}
        self.kernels: dict[str, str] = {}

    def get_state(self) -> dict[str, Any]:
        return {"history": self.history, "epoch": self.epoch, "at": self.at}

    def set_state(self, state: dict[str, Any]) -> None:
        self.history, self.epoch, self.at = (state[n] for n in ("history", "epoch", "at"))

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
            self.at.setdefault(key, []).append(epoch)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the curves: see `convkit.viz.plot_history`."""
        from convkit.viz import plot_history

        return plot_history(self, path)
