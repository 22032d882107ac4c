"""The loss of a model over a data set, as a function of its weights.

The data goes through the model's programs in chunks, whose losses and gradients add up, so that
memory limits the size of a chunk and not that of the data set.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from convkit import random
from convkit.errors import NonFiniteError
from convkit.models.compiled import Compiled, Totals
from convkit.models.diagnose import diagnose
from convkit.models.feeds import Feed, Segment
from convkit.models.loop import Loop, raise_interruption, rows_of, weights_of
from convkit.ops.registry import Array, Step
from convkit.optimizers.line import Point
from convkit.program import compile_program
from convkit.program.jacobian import SEED, compile_jacobian
from convkit.program.memory import require_memory
from convkit.program.program import GRADIENTS, Program
from convkit.program.terms import term_of
from convkit.run import make_executor
from convkit.run.executor import Executor

__all__ = ["DataObjective", "places", "squared_factor"]

BLOCK = 1024  # rows of a Jacobian that are multiplied together
WAY = "; scale the data, or begin with smaller weights"


class _Chunk(NamedTuple):
    """The programs of one size of chunks, and their executors."""

    whole: Executor  # loss and gradient
    alone: Executor  # the loss, computed by the same instructions


def _without_gradient(program: Program) -> Program:
    """The instructions of a training program that its loss and metrics depend on."""
    needed = {v.root for v in program.readouts.values()}
    kept = []
    for i in reversed(program.instructions):
        if any(v is not None and v.root in needed for v in i.outputs):
            needed |= {v.root for v in i.inputs if v is not None and v.buffer != GRADIENTS}
            kept.append(i)
    return replace(program, instructions=kept[::-1], commit=len(kept))


class DataObjective:
    """The loss of a model over a data set, as a function of its trainable weights.

    Parameters
    ----------
    loop : Loop
    feed : Feed
        That gives the same batches again and again.
    compiled : Compiled
    dtype : str
        To compute in.

    Attributes
    ----------
    step : int
        Names the random numbers that are drawn; the same for one iteration.
    random : bool
        Whether any are, so far as programs have been made.
    places : list of (int, int)
        See `places`.
    count : int
        Chunks.
    """

    def __init__(self, loop: Loop, feed: Feed, compiled: Compiled, dtype: str) -> None:
        self.loop = loop
        self.feed = feed
        self.compiled = compiled
        self.dtype = dtype
        self.step = 0
        self.random = False
        self.places = places(loop.model)
        self._store = loop.store.copy_as(dtype)
        self._metrics = compiled.resolve(loop.model)
        sizes = [chunk.batch for chunk in self.chunks()]
        self.count = len(sizes)
        self._samples = sum(sizes)
        self._executors: dict[Any, _Chunk] = {}
        # By weights, which are kept no longer for it than whoever tried them keeps them.
        self._logs: list[tuple[weakref.ref[Array], dict[str, float]]] = []

    @property
    def _is_mean(self) -> bool:
        return self.compiled.loss.reduction != "sum"

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(n for _, n in self.places)

    def gather(self, flat: Array) -> Array:
        """The trainable weights out of a flat buffer, as one vector in the objective's dtype."""
        parts = [flat[at : at + n] for at, n in self.places]
        vector: Array = np.concatenate(parts) if parts else np.zeros(0)
        return vector.astype(self.dtype, copy=False)

    def scatter(self, weights: Array, flat: Array) -> None:
        """Put a vector of weights into a flat buffer, rounded to its dtype."""
        done = 0
        for at, n in self.places:
            flat[at : at + n] = weights[done : done + n]
            done += n

    def begin(self, step: int) -> None:
        """Begin an iteration: with the model's present state, and random numbers of its own."""
        self.step = step
        self._logs.clear()
        self._store.parameters[...] = self.loop.store.parameters
        self._store.all_gradients()[...] = 0

    def chunks(self) -> Generator[Segment, None, None]:
        """All the data once, in runs of a single step."""
        with closing(self.feed.epoch()) as segments:
            for run in segments:
                for k in range(run.steps):
                    yield run._replace(first=run.first + k * run.batch, steps=1)

    def _chunk(self, segment: Segment) -> _Chunk:
        samples = segment.samples
        key = (segment.batch, samples.inputs, samples.target, samples.weighted, segment.indexed)
        if key not in self._executors:
            program = compile_program(
                self.loop.model,
                "train",
                segment.batch,
                inputs=samples.inputs,
                dtype=self.dtype,
                target=samples.target,
                weighted=samples.weighted,
                indexed=segment.indexed,
                loss=self.compiled.loss,
                metrics=self._metrics,
                regularizer=self.compiled.regularizer,
                share=segment.batch / self._samples,
                policy=self.loop.model._policy,
            )
            self.loop.model._noted(program)
            require_memory(program, self._store.arena_bytes)
            self.random |= any("stream" in i.params for i in program.instructions)
            self._executors[key] = _Chunk(
                make_executor(self.loop.kind, program, self._store),
                make_executor(self.loop.kind, _without_gradient(program), self._store),
            )
        return self._executors[key]

    def number(self, segment: Segment, n: int) -> Step:
        """The step block of chunk `n`: each chunk and iteration has random numbers of its own."""
        return Step(self.step * self.count + n, segment.first, 0.0, random.current_seed())

    def _sum(self, weights: Array, whole: bool) -> tuple[float, Array, dict[str, float]]:
        self.scatter(weights, self._store.parameters)
        gradient = np.zeros(self._store.count if whole else 0)
        means = Totals(self.compiled.loss, self._metrics)
        totals: dict[str, float] = {}
        for number, segment in enumerate(self.chunks()):
            executor = self._chunk(segment)[0 if whole else 1]
            readouts = executor.program.readouts
            sums = executor.program.zero_sums()
            step = self.number(segment, number)
            raise_interruption(executor.run(segment.bindings, 1, step, None, sums))
            if whole:
                gradient += self._store.gradients
            rows = rows_of(segment, segment.batch)
            counted = weights_of(segment, segment.first, segment.first + segment.batch)
            means.sums_of(executor.program)[...] += sums
            means.add(segment.batch, rows, counted)
            at = 0
            for name, value in readouts.items():
                part = "loss" if name == "loss" else term_of(name)
                if part is not None:
                    totals[part] = totals.get(part, 0.0) + float(sums[at])
                at += value.spec.size
        error = totals["loss"] / (means.rows if self._is_mean else 1)
        terms = {name: value for name, value in totals.items() if name != "loss"}
        loss = error + sum(terms.values())
        logs = {**means.logs(), **terms, "loss": loss}
        if terms:
            logs["error"] = error
        return loss, gradient, logs

    def __call__(self, weights: Array) -> tuple[float, Array]:
        """Loss and gradient over all the data; see `convkit.optimizers.line_search.Objective`."""
        loss, flat, logs = self._sum(weights, True)
        self._logs = [(of, known) for of, known in self._logs if of() is not None]
        self._logs.append((weakref.ref(weights), logs))
        gradient = np.concatenate([flat[at : at + n] for at, n in self.places] or [flat[:0]])
        return loss, gradient

    def loss(self, weights: Array) -> float:
        """The loss over all the data."""
        return self._sum(weights, False)[0]

    def logs(self, point: Point) -> dict[str, float]:
        """Loss and metrics at a point of this iteration, by name."""
        for weights, logs in self._logs:
            if weights() is point.weights:
                return logs
        return self._sum(point.weights, False)[2]

    def failure(self, weights: Array, epoch: int) -> NonFiniteError:
        """Find out where, at these weights, NaN or infinity comes from."""
        self.scatter(weights, self._store.parameters)
        for number, segment in enumerate(self.chunks()):
            executor = self._chunk(segment).whole
            sums = executor.program.zero_sums()
            step = self.number(segment, number)
            raise_interruption(executor.run(segment.bindings, 1, step, None, sums))
            if not (np.isfinite(sums).all() and np.isfinite(self._store.gradients).all()):
                return diagnose(executor, self._store, segment, step, epoch, number, WAY)
        return NonFiniteError(
            f"the loss or the gradient of all the data is not finite in epoch {epoch + 1}{WAY}",
            epoch, 0, "", "",
        )  # fmt: skip

    def gauss_newton(self, weights: Array) -> Array:
        """The matrix 2 J^T J of a squared error, and 2 l2 on the diagonal for each L2 penalty.

        J is the Jacobian of what is squared and summed; its rows are gradients of single outputs.
        """
        self.scatter(weights, self._store.parameters)
        matrix = np.zeros((self.size, self.size))
        rows = 0
        for segment in self.chunks():
            rows += rows_of(segment, segment.batch)
            for block in self._jacobian(segment):
                matrix += 2 * (block.T @ block)
        if self._is_mean:
            matrix /= rows
        matrix.flat[:: self.size + 1] += self._penalties()
        return matrix

    def _penalties(self) -> Array:
        parts = []
        for p in trained(self.loop.model):
            rule = p.regularizer or (self.compiled.regularizer if len(p.shape) > 1 else None)
            parts.append(np.full(math.prod(p.shape), 2 * rule.l2 if rule is not None else 0.0))
        return np.concatenate(parts) if parts else np.zeros(0)

    def _row(self, segment: Segment) -> Executor:
        """What computes a row of the Jacobian."""
        inputs, indexed = segment.samples.inputs, segment.indexed
        key = ("jacobian", inputs, indexed)
        if key not in self._executors:
            program = compile_jacobian(
                self.loop.model, inputs=inputs, dtype=self.dtype, indexed=indexed
            )
            executor = make_executor(self.loop.kind, program, self._store)
            self._executors[key] = _Chunk(executor, executor)
        return self._executors[key].whole

    def check_squares(self) -> None:
        """Refuse a loss that is no squared error, and a model without a Jacobian.

        Raises
        ------
        ValueError
        """
        squared_factor(self.compiled, 1)
        with closing(self.chunks()) as chunks:
            for segment in chunks:
                self._row(segment)
                return

    def _jacobian(self, segment: Segment) -> Iterator[Array]:
        """Rows of the Jacobian of a chunk, some at a time, by sample and output."""
        samples, executor = segment.samples, self._row(segment)
        shape = executor.program.externals[SEED].spec.shape
        outputs = math.prod(shape)
        factors = np.full((segment.batch, outputs), squared_factor(self.compiled, shape[-1]))
        if samples.weighted:
            taken: Any = slice(segment.first, segment.first + segment.batch)
            if segment.order is not None:
                taken = segment.order[taken]
            weights = samples.arrays["weight"][taken]
            factors *= np.repeat(weights.reshape(segment.batch, -1), shape[-1], axis=1)
        seeds = np.eye(outputs, dtype=self.dtype).reshape(outputs, *shape)
        rows: list[Array] = []
        for n, k in np.ndindex(*factors.shape):
            data = {**segment.bindings, SEED: seeds[k]}
            step = Step(0, segment.first + n, 0.0, 0)
            raise_interruption(executor.run(data, 1, step, None, np.zeros(0)))
            row = self.gather(self._store.gradients).astype(np.float64, copy=False)
            rows.append(row * math.sqrt(factors[n, k]))
            if len(rows) == BLOCK:
                yield np.array(rows)
                rows.clear()
        if rows:
            yield np.array(rows)


def squared_factor(compiled: Compiled, width: int) -> float:
    """What a loss multiplies the sum of a row's squared errors by.

    Raises
    ------
    ValueError
        If it is not a squared error.
    """
    if compiled.loss.kind != "squared_error":
        raise ValueError(
            f"[fit] LevenbergMarquardt minimises squared errors, and the loss is "
            f'{compiled.loss.name!r}; use the loss "mean_squared_error", or the optimizer "lbfgs"'
        )
    divisor = getattr(compiled.loss, "op_options", {}).get("divisor", 0.0)
    return 1.0 / (divisor or width)


def trained(model: Any) -> list[Any]:
    """The parameters that training changes: those whose learning rate is multiplied by 1, not 0.

    Raises
    ------
    ValueError
        If one has another multiplier: the step along the gradient has one length for all weights.
    """
    found = []
    for p in model.store.members:
        multiplier = p.multiplier
        if not p.trainable or multiplier == 0:
            continue
        if multiplier != 1:
            raise ValueError(
                f"[fit] parameter {p.path!r} has lr_multiplier={multiplier:g}, and a step over all "
                "the data has one length for all weights; set it to 1, or to 0 to keep the values, "
                'or use an optimizer of batches, such as "sgd"'
            )
        found.append(p)
    return found


def places(model: Any) -> list[tuple[int, int]]:
    """Where the weights that training changes lie in the flat buffers: offset and length."""
    return [(p.offset, math.prod(p.shape)) for p in trained(model)]
