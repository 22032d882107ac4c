"""Training with all the data in each step: the epochs of the optimizers of `FullBatch`.

It is computed in float64 unless the optimizer says otherwise: a line search compares losses that
hardly differ. Beside the model's float32 weights the optimizer keeps float64 ones, from which the
model's are rounded after each iteration.

What is random in training, such as dropout, is drawn once for each iteration. Batch normalization
takes its statistics from each chunk of ``batch_size`` samples, and its moving averages change once
per chunk and iteration, after the step.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from convkit.layers import BatchNormalization
from convkit.models.compiled import Compiled
from convkit.models.diagnose import diagnose
from convkit.models.feeds import Feed, IterableFeed
from convkit.models.fixed_batch import fixed_batch
from convkit.models.loop import Loop, raise_interruption
from convkit.models.objective import DataObjective, places
from convkit.ops.registry import Array
from convkit.optimizers import FullBatch, LevenbergMarquardt, Optimizer
from convkit.optimizers.line import Evaluations, Point
from convkit.program.memory import require_room

__all__ = ["FullBatchTraining", "check_full_batch", "usual_chunk"]

CHUNK = 256  # samples, where fit is not told a batch_size


def usual_chunk(model: Any, optimizer: Optimizer, usual: int) -> int:
    """The batch size of ``fit`` where none was given: of chunks, or the one of other optimizers."""
    if isinstance(optimizer, FullBatch) and fixed_batch(model) is None:
        return CHUNK
    return usual


def check_full_batch(verb: str, optimizer: Optimizer, steps_per_epoch: int | None = None) -> bool:
    """Whether an optimizer takes all the data for a step; refuses to give it only a part.

    Raises
    ------
    ValueError
    """
    if not isinstance(optimizer, FullBatch):
        return False
    name = type(optimizer).__name__
    if verb != "fit":
        raise ValueError(
            f"[{verb}] {name} takes all the data for a step: call fit(x, y, epochs=1), or compile "
            'with an optimizer of batches, such as "sgd"'
        )
    if steps_per_epoch is not None:
        raise ValueError(
            f"[fit] {name} takes all the data for a step, so that an epoch is one step: leave out "
            "steps_per_epoch"
        )
    return True


def _warn_slow_averages(model: Any, changes: int) -> None:
    """Warn that moving averages will not have moved far, where steps are few."""
    for call in model.calls:
        layer = call.layer
        if not isinstance(layer, BatchNormalization) or not layer.trainable or call.inference:
            continue
        left = layer.momentum**changes
        if left > 0.1:
            warnings.warn(
                f"{layer.title}: its moving averages change {changes} times in this fit, once for "
                f"each chunk of batch_size samples and epoch, and keep {left:.0%} of what they "
                f"were; lower its momentum ({layer.momentum:g}), or batch_size",
                UserWarning,
                stacklevel=5,
            )


class FullBatchTraining:
    """The epochs of a `fit` whose optimizer takes all the data for each step.

    Parameters
    ----------
    loop : Loop
    feed : Feed
    compiled : Compiled
    epochs : int
        To come.

    Raises
    ------
    ValueError
        If the data can be read only once, if a layer carries a state from batch to batch, or if
        the optimizer cannot work with so many weights or with this loss.
    """

    def __init__(self, loop: Loop, feed: Feed, compiled: Compiled, epochs: int) -> None:
        assert isinstance(compiled.optimizer, FullBatch)
        self.loop = loop
        self.feed = feed
        self.compiled = compiled
        self.optimizer: FullBatch = compiled.optimizer
        name = type(self.optimizer).__name__
        if isinstance(feed, IterableFeed) and feed.once:
            raise ValueError(
                f"[fit] {name} passes over all the data several times in each epoch, and a "
                "generator can be read only once; pass arrays, or an object that can be iterated "
                "again and again"
            )
        if fixed_batch(loop.model) is not None:
            raise ValueError(
                f"[fit] {name} sums the loss over all the data from one state, and this model "
                "carries a state from batch to batch; leave out stateful=True, or use an optimizer "
                'of batches, such as "adam"'
            )
        self._begin()
        _warn_slow_averages(loop.model, epochs * self.objective.count)

    def _begin(self) -> None:
        size = sum(n for _, n in places(self.loop.model))
        self.optimizer.check_size(size)
        require_room(type(self.optimizer).__name__, size, self.optimizer.held(size))
        self.objective = DataObjective(self.loop, self.feed, self.compiled, self.optimizer.dtype)
        if isinstance(self.optimizer, LevenbergMarquardt):
            self.objective.check_squares()
        self._point: Point | None = None  # where the last iteration ended
        self._left: Array | None = None  # all parameters as it left them

    def _start(self, evaluations: Evaluations, epoch: int) -> Point:
        """Where an iteration begins: at the optimizer's weights if those of the model are theirs.

        Raises
        ------
        NonFiniteError
            If the loss or the gradient is not finite there.
        """
        objective, optimizer, now = self.objective, self.optimizer, self.loop.store.parameters
        weights = optimizer.weights
        if weights is not None:
            rounded = now.copy()
            if weights.size == objective.size:
                objective.scatter(weights, rounded)
            if weights.size != objective.size or not np.array_equal(rounded, now):
                optimizer.forget()
                weights = None
        known = weights is not None and not objective.random
        if weights is None:
            weights = objective.gather(now)
        same = self._left is not None and np.array_equal(self._left, now)
        if self._point is not None and same and not objective.random:
            return self._point
        if known:  # by another fit, or in another process: what is told does not depend on that
            evaluations = Evaluations(objective)
        point = evaluations.point(weights)
        if not math.isfinite(point.loss):
            raise objective.failure(weights, epoch)
        return point

    def epoch(self, epoch: int) -> dict[str, float]:
        """One iteration; ends the training where another would not help.

        Returns
        -------
        dict of str to float
            Loss and metrics after the step, and what the optimizer says of it.
        """
        optimizer, store, model = self.optimizer, self.loop.store, self.loop.model
        model.build()
        optimizer.resume()
        if places(model) != self.objective.places:  # a callback froze a layer
            self._begin()
        objective = self.objective
        objective.begin(optimizer.iterations)
        evaluations = Evaluations(objective)
        start = self._start(evaluations, epoch)
        done = optimizer.iterate(evaluations, start, optimizer.memory)
        logs = {**objective.logs(done.point), **done.logs}
        logs["evaluations"] = float(evaluations.count)
        before = store.parameters.copy()
        try:
            objective.scatter(done.point.weights, store.parameters)
            self._average(epoch)
        except BaseException:
            store.parameters[...] = before
            raise
        optimizer.keep(done.point.weights, done.memory)
        optimizer.iterations += 1
        objective.scatter(done.point.gradient, store.all_gradients())
        self._point, self._left = done.point, store.parameters.copy()
        if done.reason:
            model.stop_training = True
            model.stop_reason = f"{type(optimizer).__name__}: {done.reason}"
        return dict(sorted(logs.items()))

    def _average(self, epoch: int) -> None:
        """Let layers that keep averages beside their weights see all the data once."""
        for n, segment in enumerate(self.objective.chunks()):
            executor = self.loop.executor(
                "train", segment.batch, segment.samples, segment.indexed, self.compiled
            )
            program = executor.program
            if program.commit == len(program.instructions):
                return
            step = self.objective.number(segment, n)
            result = executor.run(segment.bindings, 1, step, None, program.zero_sums())
            raise_interruption(result)
            if result.status == "not_finite":
                raise diagnose(executor, self.loop.store, segment, result.step, epoch, n)
