"""Callbacks that write down what happens."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Mapping
from typing import IO, Any

from convkit.callbacks.base import Callback, Logs

__all__ = ["CSVLogger"]

# What training reports of itself: evaluations of the other parts of the data have no such value.
OF_TRAINING = {"learning_rate", "step_size", "evaluations", "gradient_norm", "damping"}


class CSVLogger(Callback):
    """Writes one line per epoch to a file.

    Where the selection and testing parts are not evaluated after each epoch (``validation_freq``),
    their columns hold "NA" in between.

    A run that is resumed (``fit(resume=...)``) goes on in the file after the last epoch that it
    knows of; lines behind that are taken back first.

    Parameters
    ----------
    filename : str or path
    separator : str
    append : bool
        Whether to go on in an existing file.
    """

    reports_only = True

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: IO[str] | None = None
        self._keys: list[str] | None = None
        self._begun = False  # whether what is in the file belongs to this run

    def get_state(self) -> dict[str, Any]:
        size = os.path.getsize(self.filename) if self._file is not None and self._begun else None
        return {"keys": self._keys, "size": size}

    def set_state(self, state: dict[str, Any]) -> None:
        if state["size"] is None:
            return
        assert self._file is not None
        size = os.path.getsize(self.filename)
        if size < state["size"]:
            warnings.warn(
                f"CSVLogger: {self.filename} is shorter than it was when the run was saved; its "
                "lines are lost, and it goes on from here",
                stacklevel=2,
            )
            return
        self._file.truncate(state["size"])  # it is open for appending
        self._keys, self._begun = state["keys"], True

    def on_train_begin(self, logs: Logs = None) -> None:
        self._keys = None
        self._begun = self.append
        if self.append and os.path.exists(self.filename):
            with open(self.filename, newline="") as file:
                header = next(csv.reader(file, delimiter=self.separator), None)
            self._keys = header[1:] if header else None
        # What an earlier run left is cleared later, once it is known that this one does not go on.
        self._file = open(self.filename, "a", newline="")  # noqa: SIM115

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if not self._begun and self._file is not None:
            self._file.truncate(0)
            self._begun = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert self._file is not None
        logs = logs or {}
        writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")
        if self._keys is None:
            self._keys = self._columns(logs)
            writer.writerow(["epoch", *self._keys])
        elif left_out := sorted(set(logs) - set(self._keys)):
            warnings.warn(
                f"CSVLogger: {self.filename} has no column for {', '.join(left_out)}",
                stacklevel=2,
            )
        writer.writerow([epoch, *(logs.get(key, "NA") for key in self._keys)])
        self._file.flush()

    def _columns(self, logs: Mapping[str, float]) -> list[str]:
        """The logs of this epoch, and those of parts of the data that wait for a later one."""
        parts = self.params.get("parts", ())
        waiting = [part for part in parts if not any(key.startswith(part) for key in logs)]
        own = {key for key in logs if not key.startswith(tuple(parts))} - OF_TRAINING
        return sorted({*logs, *(part + key for part in waiting for key in own)})

    def on_train_end(self, logs: Logs = None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
