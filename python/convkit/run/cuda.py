"""The CUDA executor: a GPU runs whole steps, captured once as a graph."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from convkit import _core
from convkit.cuda import native as cuda
from convkit.ops.registry import Array, Step
from convkit.program.program import OWNED, Program, Value
from convkit.run.executor import RunResult
from convkit.run.store import Store

__all__ = ["CudaExecutor"]


class CudaExecutor:
    """Runs a program on a GPU. See `convkit.run.executor.Executor`.

    Parameters, gradients and optimiser state are in memory that CPU and GPU share; activations and
    the data are on the device alone.
    """

    def __init__(self, program: Program, store: Store) -> None:
        native = cuda.require()
        store.move("cuda")
        self.program = program
        self.store = store
        names = [*OWNED, *program.externals]
        number = {name: i for i, name in enumerate(names)}

        def reference(v: Value | None) -> tuple[int, int, tuple[int, ...], str] | None:
            if v is None:
                return None
            return number[v.root.buffer], v.root.offset, v.spec.shape, v.spec.dtype

        instructions = []
        for i in program.instructions:
            assert i.row is not None and i.row.device == "cuda"
            params = _core.params_bytes(i.op, dict(i.params))
            operands = [reference(v) for v in i.operands]
            work = reference(i.workspace)
            instructions.append((i.op, i.pass_name, i.row.name, params, operands, work))
        readouts = [reference(v) for v in program.readouts.values()]
        guards = [(reference(guard.value), guard.limit) for guard in program.guards]
        given = (instructions, readouts, guards, program.commit, program.batch, program.merged)
        self._native = cuda.made(
            lambda: native.Executor(*given), "what a program keeps between its steps"
        )
        ends = [v.offset + v.spec.nbytes for v in program.constants]
        self._constants = cuda.allocate(max(ends, default=1), "constants of the model")
        for v, array in program.constants.items():
            self._constants.write(np.ascontiguousarray(array), v.offset)
        self._lock = threading.RLock()

    def _bind(self, data: Mapping[str, Array]) -> list[int]:
        store = self.store
        owned = [store.parameters, store.gradient_buffer, store.slots]
        uploads = [store.device_data.pointer(data[name]) for name in self.program.externals]
        pointers = [a.ctypes.data if a.size else 0 for a in owned]
        arena = store.device_data.arena(self.program.arena_bytes).pointer
        return [arena, *pointers, self._constants.pointer, *uploads]

    def run(
        self,
        data: Mapping[str, Array],
        steps: int,
        step: Step,
        learning_rates: Array | None,
        sums: Array,
        time_limit: float = 0.0,
    ) -> RunResult:
        with self.store.running(), self._lock:
            if self.program.mode == "train":
                self.store.unkept = self.program.unkept
            block = (step.step, step.sample, step.learning_rate, step.seed)
            done, status, after, error = self._native.run(
                self._bind(data), steps, block, learning_rates, sums, time_limit
            )
        return RunResult(done, status, Step(*after), error)

    def profile(self, data: Mapping[str, Array], step: Step, repeats: int) -> Array:
        """Seconds per instruction, shape (repeats, instructions); parameters are changed."""
        block = (step.step, step.sample, step.learning_rate, step.seed)
        with self.store.running(), self._lock:
            seconds: Array = self._native.profile(self._bind(data), block, repeats)
        return seconds

    def read(self, value: Value) -> Array:
        found = np.empty(value.spec.shape, value.spec.dtype)
        arena = self.store.device_data.arena(self.program.arena_bytes)
        arena.read_into(found, value.root.offset)
        return found
