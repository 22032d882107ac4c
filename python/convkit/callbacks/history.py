"""What ``fit`` returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convkit.callbacks.base import Callback, Logs


class History(Callback):
    """What ``fit`` returns.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", the metrics, and the same with "val_" in front for the selection part and "test_"
        for the testing part, one value per epoch. If the loss has terms beside the error, such as
        "regularization", these are there apart: loss = error + regularization.
    epoch : list of int
    params : dict
    stopped : str
        Why training ended.
    parts : dict of str to ndarray of int
        Which samples were for "training", "selection" and "testing", of ``fit(split=...)``.
    """

    reports_only = True

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.stopped = ""
        self.parts: dict[str, NDArray[np.int64]] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)
