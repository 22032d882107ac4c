"""Callbacks that save the model and the state of its training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from convkit.callbacks.base import Callback, Logs
from convkit.callbacks.monitor import Monitor
from convkit.checks import number, whole
from convkit.errors import did_you_mean

__all__ = ["BackupAndRestore", "ModelCheckpoint"]

StrPath = str | os.PathLike[str]
OTHERS = (".keras", ".h5", ".hdf5", ".pt", ".pth")  # formats of other packages


def _frequency(owner: str, value: Any) -> int | None:
    """Batches between two files; None for one after each epoch."""
    if value == "epoch":
        return None
    if isinstance(value, str):
        raise ValueError(
            f"{owner}: save_freq must be 'epoch' or a number of batches, not {value!r}"
        )
    return whole(owner, "save_freq", value, least=1)


class ModelCheckpoint(Callback):
    """Saves the model after each epoch, or every so many batches.

    A file holds the model, which ``ck.load_model`` reads, and all that its training needs to go on
    to the same bits with ``fit(resume=path)``: see `fit`. It is written under another name and
    renamed once it is whole, so that a run killed meanwhile, or a full disk, leaves the file
    before it; the error is raised, and the weights in memory are as they were.

    Parameters
    ----------
    filepath : str or path
        May have fields: "{epoch:02d}-{val_loss:.2f}.convkit", from "epoch" and "batch", counted
        from 1, and the logs.
    monitor : str
        Key in the logs, for `save_best_only`.
    verbose : int
    save_best_only : bool
        Whether to save only what is better than all before.
    save_weights_only : bool
        Whether to save by ``model.save_weights``, without the state of training.
    mode : {"auto", "min", "max"}
        "auto": "max" for accuracies, "min" for losses.
    save_freq : "epoch" or int
        A number of batches, counted on from epoch to epoch. Training runs natively between.
    initial_value_threshold : float, optional
        What the first value has to improve on, for `save_best_only`.
    keep : int, optional
        Files to keep, of those that this object has written: older ones are deleted.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these, or if `monitor` is of the part of the data for testing.
    OSError
        In `fit`, if a file cannot be written.
    """

    def __init__(
        self,
        filepath: StrPath,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        *,
        keep: int | None = None,
    ) -> None:
        super().__init__()
        owner = "ModelCheckpoint"
        self.filepath = os.fspath(filepath)
        if not save_weights_only and self.filepath.endswith(OTHERS):
            raise ValueError(
                f"{owner}: {self.filepath} has the suffix of another format; what is written is "
                f"convkit's own: {os.path.splitext(self.filepath)[0]}.convkit"
            )
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.mode = mode
        self.save_freq = save_freq
        self.batch_interval = _frequency(owner, save_freq)
        self.initial_value_threshold = initial_value_threshold
        self.keep = None if keep is None else whole(owner, "keep", keep, least=1)
        self._watched = Monitor(owner, monitor, mode)
        self.best = initial_value_threshold
        if self.best is not None:
            self.best = number(owner, "initial_value_threshold", self.best, least=-float("inf"))
        self._epoch = 0
        self._due: tuple[int, dict[str, float]] | None = None  # the batch and the logs
        self._written: list[str] = []

    def get_state(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self._epoch, "written": list(self._written)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.best, self._epoch, self._written = (state[n] for n in ("best", "epoch", "written"))

    def on_train_begin(self, logs: Logs = None) -> None:
        self._watched.settle(self.model)
        self._due = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._consider(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if self.batch_interval is None:
            self._consider(0, logs)

    def _consider(self, batch: int, logs: Logs) -> None:
        """Find out whether this is to be saved; it is once all callbacks have had their turn."""
        if self.save_best_only:
            value = self._watched.value(logs)
            if value is None:
                return
            before = self._watched.worst if self.best is None else self.best
            if not self._watched.improved(value, before):
                if self.verbose:
                    print(
                        f"Epoch {self._epoch + 1}: {self.monitor} did not improve from {before:.5f}"
                    )
                return
            self.best = value
        self._due = batch, dict(logs or {})

    def checkpoint(self, save: Callable[[StrPath], Any]) -> None:
        if self._due is None:
            return
        (batch, logs), self._due = self._due, None
        path = self._path(batch, logs)
        # Noted before it is written, for the state that the file itself holds.
        self._written = [*(p for p in self._written if p != path), path]
        old = self._written[: -self.keep] if self.keep is not None else []
        self._written = self._written[len(old) :]
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            save(path)
        for name in old:
            Path(name).unlink(missing_ok=True)
        if self.verbose:
            print(f"Epoch {self._epoch + 1}: saved {path}")

    def _path(self, batch: int, logs: Mapping[str, float]) -> str:
        fields = {**logs, "epoch": self._epoch + 1, "batch": batch + 1}
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError) as error:
            name = str(error.args[0])
            known = did_you_mean(name, fields)
            if name.startswith("test_"):
                known = ", which are without the testing part: it has no say in what is kept"
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} has a field {name!r} that "
                f"is not in the logs{known}"
            ) from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"ModelCheckpoint: filepath {self.filepath!r}: {error}") from None


class BackupAndRestore(Callback):
    """Saves the state of training, and goes on from there if it was interrupted.

    The same as ``fit(resume=path)`` with a `ModelCheckpoint` that writes to that path: whatever
    ended a run, the next one with the same arguments ends with the same bits as if nothing had.

    Parameters
    ----------
    backup_dir : str or path
        Folder, made if need be; the file in it is "training.convkit".
    save_freq : "epoch" or int
        A number of batches, counted on from epoch to epoch.
    double_checkpoint : bool
        Only False: the file is replaced by a whole one at once.
    delete_checkpoint : bool
        Whether the file goes once training has come to its end; interruptions and a `TimeLimit`
        leave it.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.
    """

    def __init__(
        self,
        backup_dir: StrPath,
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if double_checkpoint:
            raise TypeError(
                "BackupAndRestore: double_checkpoint=True is not supported, as a file is replaced "
                "by a whole one at once; leave it out"
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.batch_interval = _frequency("BackupAndRestore", save_freq)
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._due = False

    @property
    def path(self) -> Path:
        """Of the file."""
        return Path(self.backup_dir) / "training.convkit"

    def on_train_begin(self, logs: Logs = None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._due = False

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._due = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._due = self.batch_interval is None

    def checkpoint(self, save: Callable[[StrPath], Any]) -> None:
        if self._due:
            save(self.path)
        self._due = False

    def on_train_end(self, logs: Logs = None) -> None:
        if self.delete_checkpoint and self.model.history.complete:
            self.path.unlink(missing_ok=True)
