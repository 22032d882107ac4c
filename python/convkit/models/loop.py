"""The loop: runs the segments of an epoch on executors, many steps per call."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np

from convkit import random
from convkit.models.compiled import Compiled, Totals
from convkit.models.data import Samples
from convkit.models.feeds import Feed, Segment
from convkit.models.fixed_batch import fixed_batch
from convkit.ops import registry
from convkit.ops.registry import Array, Spec, Step
from convkit.program import compile_program
from convkit.program.memory import require_memory
from convkit.program.program import Program
from convkit.run import make_executor
from convkit.run.executor import Executor, RunResult
from convkit.run.store import Store

__all__ = ["Loop", "raise_interruption", "rows_of", "weights_of"]

CACHE = 32  # programs kept, by batch size and the like
TIME_LIMIT = 0.1  # seconds until a run comes back for Ctrl-C and the progress bar
MOST_STEPS = 4096  # learning rates computed ahead


class Loop:
    """Runs a model's programs; keeps those that have been compiled.

    Parameters
    ----------
    model : Model
        Built.
    kind : str
        Of the executors: "native", "eager" or "reference".

    Attributes
    ----------
    keep_grads : bool
        Whether training keeps all gradients for the time being, whatever compile was told.
    """

    def __init__(self, model: Any, kind: str) -> None:
        self.model = model
        self.kind = kind
        self.store: Store = model.store
        self.keep_grads = False
        self._executors: OrderedDict[tuple[Any, ...], Executor] = OrderedDict()
        # Several threads may predict at once, and a signal handler within `executor`.
        self._lock = threading.RLock()
        self._plain: dict[tuple[Any, ...], tuple[Spec, ...]] = {}  # see `one_batch`

    def executor(
        self,
        mode: str,
        batch: int,
        samples: Samples,
        indexed: bool = False,
        compiled: Compiled | None = None,
    ) -> Executor:
        """The executor for batches of this size and kind, from the cache or new."""
        key: tuple[Any, ...] = (mode, batch, samples.inputs, indexed, registry.version())
        options: dict[str, Any] = {}
        if compiled is not None:
            key += (samples.target, samples.weighted, compiled)
            options = {
                "target": samples.target,
                "weighted": samples.weighted,
                "loss": compiled.loss,
                "metrics": compiled.resolve(self.model),
                "regularizer": compiled.regularizer,
            }
        if mode == "train" and compiled is not None:
            optimizer = compiled.optimizer
            keep = self.keep_grads or compiled.keep_grads
            key += (tuple(optimizer.params().items()), *self.store.changes(), keep)
            options |= {"optimizer": optimizer, "keep_grads": keep}
        if self.model.store is not self.store:
            raise RuntimeError("the layers of a model cannot change while it runs")
        with self._lock:
            if key not in self._executors:

                def made(count: int) -> Program:
                    return compile_program(
                        self.model, mode, count, inputs=samples.inputs, indexed=indexed,
                        policy=self.model._policy, **options,
                    )  # fmt: skip

                program = self.model._noted(made(batch))
                smaller = made if fixed_batch(self.model) is None else None
                require_memory(program, self.store.arena_bytes, smaller)
                self._executors[key] = make_executor(self.kind, program, self.store)
                if len(self._executors) > CACHE:
                    self._executors.popitem(last=False)
            self._executors.move_to_end(key)
            return self._executors[key]

    def forget(self) -> None:
        """Make all programs anew."""
        with self._lock:
            self._executors.clear()

    def run(
        self,
        mode: str,
        feed: Feed,
        compiled: Compiled,
        totals: Totals,
        *,
        path: tuple[int, ...] = (),
        skip: int = 0,
        most: Callable[[int], int | None] = lambda done: None,
        before: Callable[[int], None] = lambda step: None,
        after: Callable[[int], bool | None] = lambda step: None,
        failed: Callable[[Executor, Segment, Step, int], None] = lambda *_: None,
    ) -> int:
        """Run an epoch of training or of evaluation.

        Parameters
        ----------
        mode : str
            "train" or "evaluate".
        feed : Feed
        compiled : Compiled
        totals : Totals
            Added to.
        path : tuple of int
            Names the epoch for the shuffle.
        skip : int
            Steps of the epoch that were done before.
        most : callable
            Of the number of steps done: how many more until Python must be back; None: any.
        before, after : callable
            Called with the number of steps done, around each run; `after` returns True to stop.
        failed : callable
            Called where a training step's loss is not finite.

        Returns
        -------
        int
            Steps done.
        """
        done = skip
        with closing(feed.epoch(*path, skip=skip)) as segments:
            for segment in segments:
                self._begin(segment)
                data = segment.bindings
                executor = self.executor(
                    mode, segment.batch, segment.samples, segment.indexed, compiled
                )
                sums = totals.sums_of(executor.program)
                first, left = segment.first, segment.steps
                while left:
                    before(done)
                    self.model.build()  # takes shared layers back that a hook used in another model
                    count = min(left, MOST_STEPS, most(done) or left)
                    result = self._some(executor, mode, data, count, first, compiled, sums)
                    position = first + result.steps * segment.batch
                    totals.add(
                        position - first, rows_of(segment, position - first),
                        weights_of(segment, first, position),
                    )  # fmt: skip
                    first, left, done = position, left - result.steps, done + result.steps
                    stop = bool(result.steps and after(done))
                    raise_interruption(result)
                    if stop:
                        return done
                    if result.status == "not_finite":
                        failed(executor, segment, result.step, done)
        return done

    def _begin(self, segment: Segment) -> None:
        """Let a GPU not take arrays for those that it has, if they may have been filled anew."""
        if segment.passing and self.store.device == "cuda":
            self.store.device_data.forget()

    def _some(
        self,
        executor: Executor,
        mode: str,
        data: dict[str, Array],
        count: int,
        first: int,
        compiled: Compiled,
        sums: Array,
    ) -> RunResult:
        """Run up to `count` steps; the optimizer's count of steps goes on."""
        optimizer = compiled.optimizer
        rates = optimizer.rates(optimizer.iterations, count) if mode == "train" else None
        if rates is not None:
            count = len(rates)  # shorter than that where a later rate cannot be used
        step = Step(optimizer.iterations, first, 0.0, random.current_seed())
        result = executor.run(data, count, step, rates, sums, TIME_LIMIT)
        if mode == "train":
            optimizer.iterations += result.steps
        if result.status == "not_finite" and rates is not None:
            result.step.learning_rate = float(rates[result.steps])
        return result

    def accepted(self, x: Any, samples: Samples) -> None:
        """Remember that x passed all checks of `predict`, for `one_batch`."""
        readers = [call.layer for call in self.model.calls if self.model.inputs[0] in call.inputs]
        layers = [self.model.inputs[0].layer, *readers]
        if (
            list(samples.arrays) == ["x"]
            and samples.arrays["x"] is x
            and type(samples) is Samples
            and not any(layer.looks_at_data for layer in layers)
            and all(call.layer.batch_size is None for call in self.model.calls)
        ):
            self._plain[x.dtype, x.shape[1:]] = samples.inputs

    def one_batch(self, x: Any, most: int) -> list[Array] | None:
        """The predictions for an array of at most `most` samples, by the shortest way.

        Of each kind of array (dtype, shape of a sample) the first one is checked as usual; whether
        another one passes follows from its kind alone, unless some layer looks at the values.

        Returns
        -------
        list of ndarray or None
            One for each output; None where x is not known to be of such a kind.
        """
        if type(x) is not np.ndarray or not x.ndim or not 0 < len(x) <= most:
            return None
        inputs = self._plain.get((x.dtype, x.shape[1:]))
        if inputs is None or not (x.flags.c_contiguous and x.flags.aligned):
            return None
        samples = Samples({"x": x}, inputs, len(x))
        executor = self.executor("predict", len(x), samples)
        step = Step(0, 0, 0.0, random.current_seed())
        raise_interruption(executor.run(samples.arrays, 1, step, None, np.zeros(0)))
        return [np.array(executor.read(v), np.float32) for v in executor.program.output]

    def predict(
        self,
        feed: Feed,
        *,
        before: Callable[[int], None] = lambda step: None,
        after: Callable[[int], bool | None] = lambda step: None,
    ) -> list[list[Array]]:
        """The predictions of each batch, one list per output."""
        outputs: list[list[Array]] = [[] for _ in self.model.outputs]
        done, none = 0, np.zeros(0)
        with closing(feed.epoch()) as segments:
            for segment in segments:
                self._begin(segment)
                executor = self.executor("predict", segment.batch, segment.samples)
                data = segment.samples.arrays
                for k in range(segment.steps):
                    before(done)
                    step = Step(0, segment.first + k * segment.batch, 0.0, random.current_seed())
                    raise_interruption(executor.run(data, 1, step, None, none))
                    for part, value in zip(outputs, executor.program.output, strict=True):
                        part.append(np.array(executor.read(value), dtype=np.float32, copy=True))
                    done += 1
                    after(done)
        return outputs


def raise_interruption(result: RunResult) -> None:
    """Raise what a signal's handler raised during a run; its whole steps are counted by now."""
    if result.error is not None:
        raise result.error
    if result.status == "interrupted":
        raise KeyboardInterrupt


def rows_of(segment: Segment, samples: int) -> int:
    """Rows of the loss in so many samples: more than one each where the output is a sequence."""
    y = segment.samples.target
    assert y is not None
    shape = y.shape if y.dtype == "int32" else y.shape[:-1]
    return samples * math.prod(shape)


def weights_of(segment: Segment, begin: int, end: int) -> Array | None:
    """The sum of the sample weights of each step from position `begin` to `end`, if there are any.

    Step by step, so that a total of them does not depend on where runs end.
    """
    weights = segment.samples.arrays.get("weight")
    if weights is None:
        return None
    part = weights[begin:end] if segment.order is None else weights[segment.order[begin:end]]
    by_step = part.astype(np.float64).reshape(-1, segment.batch * math.prod(part.shape[1:]))
    steps: Array = by_step.sum(axis=1)
    return steps
