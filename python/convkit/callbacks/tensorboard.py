"""Curves and histograms for TensorBoard, written by the optional package tensorboardX."""

from __future__ import annotations

import os
import time
from typing import Any

from convkit.callbacks.base import Callback, Logs
from convkit.checks import whole
from convkit.errors import missing_extra

__all__ = ["TensorBoard"]

# Keras's arguments that are not supported, with the values at which they do nothing.
_HARMLESS = {
    "write_graph": False,
    "write_images": False,
    "profile_batch": 0,
    "embeddings_freq": 0,
    "embeddings_metadata": None,
}


class TensorBoard(Callback):
    """Writes event files for TensorBoard, under Keras's names.

    In "train" and "validation" in `log_dir` ("test" for a third part of the data): the scalars
    "epoch_loss" and so on over the epochs, "batch_loss" and so on over the steps, and the weights
    as histograms. Needs tensorboardX (``pip install "convkit[tensorboard]"``). A run that is
    resumed writes the steps behind the saved one again, with the same values.

    Parameters
    ----------
    log_dir : str or path
    histogram_freq : int
        Every how many epochs the weights are written; 0: never.
    write_graph, write_images, profile_batch, embeddings_freq, embeddings_metadata
        Only False, 0 and None.
    write_steps_per_second : bool
    update_freq : "epoch", "batch" or int
        Besides the epochs: after each batch, or every so many. Training runs natively between.

    Raises
    ------
    ImportError
        In `fit`, if tensorboardX is not installed.
    TypeError, ValueError
        If an argument is none of these.
    """

    reports_only = True

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = False,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: None = None,
    ) -> None:
        super().__init__()
        given = {
            "write_graph": write_graph,
            "write_images": write_images,
            "profile_batch": profile_batch,
            "embeddings_freq": embeddings_freq,
            "embeddings_metadata": embeddings_metadata,
        }
        for name, value in given.items():
            if value != _HARMLESS[name]:
                raise TypeError(f"TensorBoard: {name}={value!r} is not supported; leave it out")
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = whole("TensorBoard", "histogram_freq", histogram_freq)
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = update_freq
        self.batch_interval = self._interval(update_freq)
        self._writers: dict[str, Any] = {}
        self._begun = (0, 0.0)  # steps and time when the epoch began

    @staticmethod
    def _interval(value: Any) -> int | None:
        if value in ("epoch", "batch"):
            return None if value == "epoch" else 1
        if isinstance(value, str):
            raise ValueError(
                "TensorBoard: update_freq must be 'epoch', 'batch' or a number of batches, not "
                f"{value!r}"
            )
        return whole("TensorBoard", "update_freq", value, least=1)

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                raise missing_extra("tensorboardX", "tensorboard", "TensorBoard") from None
            self._writers[part] = SummaryWriter(os.path.join(self.log_dir, part))
        return self._writers[part]

    def _scalar(self, part: str, tag: str, value: Any, step: int) -> None:
        """Write a value; one for each class where it is a list."""
        if isinstance(value, list | tuple):
            for i, one in enumerate(value):
                self._scalar(part, f"{tag}/{i}", one, step)
        else:
            self._writer(part).add_scalar(tag, value, step)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._writer("train")
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._begun = self.model.optimizer.iterations, time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        step = self.model.optimizer.iterations - 1
        for name, value in (logs or {}).items():
            self._scalar("train", f"batch_{name}", value, step)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        for name, value in (logs or {}).items():
            part, kind = "train", name
            for prefix, folder in (("val_", "validation"), ("test_", "test")):
                if name.startswith(prefix):
                    part, kind = folder, name.removeprefix(prefix)
            self._scalar(part, f"epoch_{kind}", value, epoch)
        if self.write_steps_per_second:
            steps, start = self._begun
            rate = (self.model.optimizer.iterations - steps) / max(time.monotonic() - start, 1e-9)
            self._scalar("train", "epoch_steps_per_second", rate, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for p in self.model.parameters:
                if p.size:
                    name = p.path.replace(".", "/")
                    self._writer("train").add_histogram(name, p.numpy().reshape(-1), epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}
