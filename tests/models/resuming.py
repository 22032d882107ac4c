"""What tests of resumed runs share."""

import numpy as np

from convkit.callbacks import Callback


class Crash(Callback):
    """Raises after so many steps of its life."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise RuntimeError("crash")


def outcome(model, callbacks):
    """All that must be the same, to the bit."""
    history = model.history
    states = [c.get_state() for c in callbacks]
    return {
        "weights": model.get_weights(),
        "slots": model.store.slots.copy(),
        "rate": float(model.optimizer.rates(model.optimizer.iterations, 1)[0]),
        "steps": model.optimizer.iterations,
        "history": history.history,
        "epoch": history.epoch,
        "stopped": history.stopped,
        "callbacks": states,
    }


def assert_same(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, np.ndarray):
        assert np.array_equal(a, b) and a.dtype == b.dtype
    else:
        assert a == b
