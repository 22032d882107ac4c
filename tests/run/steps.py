"""One training program, ready to run for any number of steps on fresh copies of its state."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import convkit as ck
from convkit.models.data import check_samples
from convkit.ops.registry import Array, Step
from convkit.program import compile_program
from convkit.program.program import Program
from convkit.run.executor import RunResult
from convkit.run.native import NativeExecutor
from convkit.run.store import Store


class Job(NamedTuple):
    """A program and what it is bound to."""

    program: Program
    store: Store
    data: dict[str, Array]

    def copy(self) -> Job:
        return self._replace(store=self.store.copy_as(self.store.dtype))

    def run(
        self,
        steps: int,
        kind: Any = NativeExecutor,
        step: Step | None = None,
        time_limit: float = 0.0,
        sums: Array | None = None,
    ) -> RunResult:
        """Run on this store, from its first sample unless `step` says otherwise."""
        if sums is None:
            sums = self.program.zero_sums()
        executor = kind(self.program, self.store)
        step = step or Step(0, 0, 0.01, 5)
        return executor.run(self.data, steps, step, None, sums, time_limit)


def job(model: Any, x: Array, y: Array, batch: int, index: Array, weight: Any = None) -> Job:
    """The training program of a compiled model over x and y in the order of `index`."""
    model.build()
    compiled = model._require_compiled("job")
    samples = check_samples("job", model, x, y, weight, loss=compiled.loss)
    program = compile_program(
        model, "train", batch, inputs=samples.inputs, target=samples.target,
        weighted=samples.weighted, indexed=True, loss=compiled.loss, optimizer=compiled.optimizer,
    )  # fmt: skip
    store = model.store.copy_as("float32")
    store.reserve_slots(compiled.optimizer.slots, compiled.optimizer.initial)
    return Job(program, store, {**samples.arrays, "index": index})


def small(steps: int = 8, batch: int = 16, dropout: float = 0.3, optimizer: str = "adam") -> Job:
    """A convolution, pooling, dropout and a dense layer on 8 x 8 images."""
    model = ck.Sequential(
        [
            ck.Input((8, 8, 2)),
            ck.layers.Conv2D(5, 3, padding="same", activation="tanh"),
            ck.layers.MaxPooling2D(2),
            ck.layers.Flatten(),
            ck.layers.Dropout(dropout),
            ck.layers.Dense(3, "softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((steps * batch, 8, 8, 2)).astype(np.float32)
    return job(model, x, rng.integers(0, 3, len(x)), batch, rng.permutation(len(x)))


def assert_same(first: Job, second: Job) -> None:
    """The same bits in parameters and optimiser state."""
    np.testing.assert_array_equal(first.store.parameters, second.store.parameters)
    np.testing.assert_array_equal(first.store.slots, second.store.slots)
