"""Callbacks: Keras's hooks into training."""

from convkit.callbacks.base import Callback, CallbackList, LambdaCallback
from convkit.callbacks.history import History
from convkit.callbacks.logging import CSVLogger
from convkit.callbacks.rates import LearningRateScheduler
from convkit.callbacks.stopping import EarlyStopping

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
]
