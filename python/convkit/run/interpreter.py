"""The executors in Python: instruction by instruction, every value visible."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from convkit.ops import registry
from convkit.ops.registry import Array, Row, Step
from convkit.program.program import (
    CONSTANTS,
    GRADIENTS,
    PARAMETERS,
    SLOTS,
    Instruction,
    Program,
    Value,
)
from convkit.run.executor import RunResult
from convkit.run.store import Store


class EagerExecutor:
    """Runs one bound kernel at a time: the debugger. See `convkit.run.executor.Executor`.

    Attributes
    ----------
    values : dict of Value to ndarray
        Every array of the last step.
    """

    def __init__(self, program: Program, store: Store) -> None:
        self.program = program
        self.store = store
        self.values: dict[Value, Array] = {}
        self._data: Mapping[str, Array] = {}

    def row(self, instruction: Instruction) -> Row:
        """The kernel that runs an instruction."""
        assert instruction.row is not None
        return instruction.row

    def dtype(self, value: Value) -> str:
        """The dtype that a value is held in."""
        return value.spec.dtype

    def array(self, value: Value) -> Array:
        """The array of a value in the current step; made when first asked for."""
        if value.base is not None:
            return self.array(value.root).reshape(value.spec.shape)
        if value in self.values:
            return self.values[value]
        flat = {
            PARAMETERS: self.store.parameters,
            GRADIENTS: self.store.gradient_buffer,
            SLOTS: self.store.slots.reshape(-1),
        }.get(value.buffer)
        if flat is not None:
            begin = value.offset // np.dtype(value.spec.dtype).itemsize
            array = flat[begin : begin + value.spec.size].reshape(value.spec.shape)
        elif value.buffer == CONSTANTS:
            array = self.program.constants[value].astype(self.dtype(value))
        elif value.buffer in self._data:
            array = self._data[value.buffer]
        else:
            array = np.empty(value.spec.shape, self.dtype(value))
        self.values[value] = array
        return array

    def execute(self, instruction: Instruction, step: Step) -> None:
        """Run one instruction on the current values."""
        inputs = [None if v is None else self.array(v) for v in instruction.inputs]
        outputs = [None if v is None else self.array(v) for v in instruction.outputs]
        row = self.row(instruction)
        if row.op == "gather_rows" and row.device == "cuda":
            inputs, step = self._batch(inputs, step)
        registry.run(row, instruction.params, inputs, outputs, step)

    def _batch(self, inputs: list[Array | None], step: Step) -> tuple[list[Array | None], Step]:
        """What `gather_rows` takes of its inputs: a GPU may have no room for all of the data."""
        data, index = inputs
        assert data is not None
        taken: Any = slice(step.sample, step.sample + self.program.batch)
        if not isinstance(data, np.ndarray):
            return inputs, step  # it is there
        rows = data[taken] if index is None else data[np.asarray(index)[taken]]
        return [np.ascontiguousarray(rows), None], replace(step, sample=0)

    def begin(self, data: Mapping[str, Array]) -> None:
        """Forget the last step's values and bind the data."""
        self._data = data
        self.values = {}

    def run(
        self,
        data: Mapping[str, Array],
        steps: int,
        step: Step,
        learning_rates: Array | None,
        sums: Array,
        time_limit: float = 0.0,
    ) -> RunResult:
        program, step = self.program, replace(step)
        trains = program.commit < len(program.instructions)
        end = time.monotonic() + time_limit
        if program.mode == "train":
            self.store.unkept = program.unkept
        for n in range(steps):
            if time_limit and n and time.monotonic() >= end:
                return RunResult(n, "time_up", step)
            if learning_rates is not None:
                step.learning_rate = float(learning_rates[n])
            self.begin(data)
            try:
                for i, instruction in enumerate(program.instructions):
                    guards = program.guards if i == program.commit else ()
                    if not all(guard.holds(self.array(guard.value)) for guard in guards):
                        return RunResult(n, "not_finite", step)
                    self.execute(instruction, step)
            except BaseException as error:  # the steps before it count, so it is handed over
                return RunResult(n, "interrupted", step, error)
            at = 0
            for value in program.readouts.values():
                sums[at : at + value.spec.size] += self.array(value).reshape(-1)
                at += value.spec.size
            step.sample += program.batch
            step.step += int(trains)
        return RunResult(steps, "done", step)

    def read(self, value: Value) -> Array:
        return self.array(value)


class ReferenceExecutor(EagerExecutor):
    """NumPy in float64, instruction by instruction: the specification.

    It works on a float64 copy of the store and writes parameters and optimiser state back at the
    end of a run, rounded to the store's dtype.
    """

    def __init__(self, program: Program, store: Store) -> None:
        super().__init__(program, store.copy_as("float64"))
        self._target = store

    def row(self, instruction: Instruction) -> Row:
        return registry.kernels(instruction.op, instruction.pass_name)[-1]

    def dtype(self, value: Value) -> str:
        return "float64" if value.spec.dtype == "float32" else value.spec.dtype

    def run(
        self,
        data: Mapping[str, Array],
        steps: int,
        step: Step,
        learning_rates: Array | None,
        sums: Array,
        time_limit: float = 0.0,
    ) -> RunResult:
        self.store = self._target.copy_as("float64")
        result = super().run(data, steps, step, learning_rates, sums, time_limit)
        self._target.parameters[...] = self.store.parameters
        self._target.gradient_buffer[...] = self.store.gradient_buffer
        self._target.unkept = self.store.unkept
        self._target.slots[...] = self.store.slots
        return result
