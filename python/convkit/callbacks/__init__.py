"""Callbacks: Keras's hooks into training."""

from typing import Any

from convkit.callbacks.base import Callback, CallbackList, LambdaCallback
from convkit.callbacks.checkpoint import BackupAndRestore, ModelCheckpoint
from convkit.callbacks.convergence import Convergence
from convkit.callbacks.history import History
from convkit.callbacks.limits import TerminateOnNaN, TimeLimit
from convkit.callbacks.logging import CSVLogger
from convkit.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from convkit.callbacks.stopping import EarlyStopping, StopAt
from convkit.callbacks.tensorboard import TensorBoard
from convkit.errors import did_you_mean

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "Convergence",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "StopAt",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeLimit",
]

_REFUSED = {
    "ProgbarLogger": "fit shows its progress itself; use its argument verbose",
    "RemoteMonitor": "nothing here talks to a network; send the logs in a LambdaCallback",
}


def __getattr__(name: str) -> Any:
    if name in _REFUSED:
        raise AttributeError(f"ck.callbacks.{name} is not supported: {_REFUSED[name]}")
    raise AttributeError(f"ck.callbacks has no {name!r}{did_you_mean(name, __all__)}")
