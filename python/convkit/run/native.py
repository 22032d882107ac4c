"""The native executor: C++ runs whole steps and whole epochs without the GIL.

An instruction whose row is written in Python is a call back into Python, with views of its
operands; all others run without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from convkit import _core
from convkit.ops import registry
from convkit.ops.registry import Array, Step
from convkit.program.program import OWNED, Instruction, Program, Value
from convkit.run.executor import RunResult
from convkit.run.store import Store, flat


class NativeExecutor:
    """Runs a program in C++. See `convkit.run.executor.Executor`.

    Threads may run it at the same time unless it trains: each has an arena and a native half of
    its own, and `read` gives what the calling thread ran. Where a program carries a state from
    step to step they take turns, a run each.
    """

    def __init__(self, program: Program, store: Store) -> None:
        self.program = program
        self.store = store
        self._names = [*OWNED, *program.externals]
        number = {name: i for i, name in enumerate(self._names)}

        def reference(v: Value | None) -> tuple[int, int, tuple[int, ...], str] | None:
            if v is None:
                return None
            return number[v.root.buffer], v.root.offset, v.spec.shape, v.spec.dtype

        instructions: list[tuple[Any, ...] | int] = []
        self._in_python: list[Instruction] = []
        for i in program.instructions:
            assert i.row is not None
            if not i.row.native:
                instructions.append(len(self._in_python))
                self._in_python.append(i)
                continue
            operands = [reference(v) for v in i.operands]
            work = reference(i.workspace)
            instructions.append(
                (i.op, i.pass_name, i.row.name, dict(i.params), operands, work, i.seconds)
            )
        guards: list[Any] = [(reference(guard.value), guard.limit) for guard in program.guards]
        self._make = partial(
            _core.Executor,
            instructions,
            [reference(v) for v in program.readouts.values()],
            guards,
            program.commit,
            program.batch,
        )
        # Training is nobody's to share in any case.
        self._carries = program.mode != "train" and program.commit < len(program.instructions)
        # A program that outlives a change of its model must not write past the new buffers.
        needs = dict.fromkeys(self._names, 0)
        for v in program.values():
            end = v.root.offset + v.root.spec.nbytes
            needs[v.root.buffer] = max(end, needs[v.root.buffer])
        self._needs = [needs[name] for name in OWNED]
        ends = [v.offset + v.spec.nbytes for v in program.constants]
        self._constants = flat(max(ends, default=0), "uint8")
        for v, array in program.constants.items():
            self._constants[v.offset : v.offset + array.nbytes] = array.reshape(-1).view(np.uint8)
        self._thread = threading.local()
        self._mine()

    def _mine(self) -> Any:
        """The native executor of this thread."""
        if not hasattr(self._thread, "native"):
            self._thread.native = self._make()
            self._thread.arena = self.store.arena(self.program.arena_bytes)
        return self._thread.native

    def _bind(self, data: Mapping[str, Array]) -> tuple[list[Array], list[Callable[[Any], None]]]:
        """The buffers of a run in this thread, and the calls to Python on views of them."""
        store = self.store
        arena = self._thread.arena = store.arena(self.program.arena_bytes)
        buffers = [arena, store.parameters, store.gradient_buffer, store.slots, self._constants]
        for name, array, need in zip(OWNED, buffers, self._needs, strict=True):
            if array.nbytes < need:
                raise RuntimeError(
                    f"the model changed after its program was made: {name} has {array.nbytes} "
                    f"bytes, the program needs {need}; compile the model again"
                )
        buffers += [data[name] for name in self.program.externals]
        calls = []
        if self._in_python:
            named = dict(zip(self._names, buffers, strict=True))
            calls = [_call(i, [_view(v, named) for v in i.operands]) for i in self._in_python]
        return buffers, calls

    def run(
        self,
        data: Mapping[str, Array],
        steps: int,
        step: Step,
        learning_rates: Array | None,
        sums: Array,
        time_limit: float = 0.0,
    ) -> RunResult:
        with self.store.running(alone=self._carries):
            native = self._mine()
            buffers, calls = self._bind(data)
            if self.program.mode == "train":
                self.store.unkept = self.program.unkept
            done, status, after, error = native.run(
                buffers,
                steps,
                (step.step, step.sample, step.learning_rate, step.seed),
                learning_rates,
                sums,
                time_limit,
                calls,
            )
        return RunResult(done, status, Step(*after), error)

    def profile(self, data: Mapping[str, Array], step: Step, repeats: int) -> Array:
        """Seconds per instruction, shape (repeats, instructions); parameters are changed."""
        block = (step.step, step.sample, step.learning_rate, step.seed)
        with self.store.running():
            native = self._mine()
            buffers, calls = self._bind(data)
            seconds: Array = native.profile(buffers, block, repeats, calls)
        return seconds

    def read(self, value: Value) -> Array:
        root = value.root
        self._mine()
        flat = self._thread.arena[root.offset : root.offset + value.spec.nbytes]
        return np.frombuffer(flat, value.spec.dtype).reshape(value.spec.shape)


def _view(value: Value | None, buffers: Mapping[str, Array]) -> Array | None:
    """An operand as an array; of the caller's own arrays it is the whole one."""
    if value is None:
        return None
    root, spec = value.root, value.spec
    if root.buffer not in OWNED:
        return buffers[root.buffer]
    flat = buffers[root.buffer].reshape(-1).view(np.uint8)[root.offset : root.offset + spec.nbytes]
    return flat.view(spec.dtype).reshape(spec.shape)


def _call(instruction: Instruction, operands: Sequence[Array | None]) -> Callable[[Any], None]:
    """A call of an instruction's row in Python. It knows no executor, which would keep it alive."""
    row, params, n = instruction.row, instruction.params, len(instruction.inputs)
    assert row is not None

    def call(step: tuple[int, int, float, int]) -> None:
        registry.run(row, params, operands[:n], operands[n:], Step(*step))

    return call
