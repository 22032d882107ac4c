"""The CUDA executor: a GPU runs whole steps, captured once as a graph."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np

from convkit import _core
from convkit.cuda import native as cuda
from convkit.ops.registry import Array, Step
from convkit.program.program import OWNED, Program, Value
from convkit.run.executor import RunResult
from convkit.run.staging import Block
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
        gathers = [i for i in program.instructions if i.op == "gather_rows"]
        # What batches are taken from, by the positions of the samples.
        self._gathered = {v.root.buffer for i in gathers if (v := i.inputs[0]) is not None}
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

    def _bind(self, data: Mapping[str, Array], position: int) -> tuple[list[int], Block | None]:
        """Where all buffers are, and the block of samples that is there of data without room."""
        store, here = self.store, self.store.device_data
        owned = [store.parameters, store.gradient_buffer, store.slots]
        pointers = [a.ctypes.data if a.size else 0 for a in owned]
        # Before the data, which can do with less.
        arena = here.arena(self.program.arena_bytes).pointer
        pointers = [arena, *pointers, self._constants.pointer]
        names = list(self.program.externals)
        samples = {name: data[name] for name in names if name in self._gathered}
        block = here.block_of(list(samples.values()))
        if block is None:
            if here.fits([data[name] for name in names]):
                return [*pointers, *(here.pointer(data[name]) for name in names)], None
            index = data["index"] if "index" in names else None
            block = here.stream.at(samples, index, position, self.program.batch, here.room)
        places = block.ring.pointers
        for name in names:
            pointers.append(places[name] if name in places else here.pointer(data[name]))
        return pointers, block

    def run(
        self,
        data: Mapping[str, Array],
        steps: int,
        step: Step,
        learning_rates: Array | None,
        sums: Array,
        time_limit: float = 0.0,
    ) -> RunResult:
        start, done, batch = time.monotonic(), 0, self.program.batch
        result, here = RunResult(0, "done", step), self.store.device_data
        with self.store.running(), here.used(), self._lock:
            if self.program.mode == "train":
                self.store.unkept = self.program.unkept
            while done < steps and result.status == "done":
                at = result.step
                pointers, block = self._bind(data, at.sample)
                count, moved, limit = steps - done, 0, time_limit
                if block is not None:
                    count, moved = min(count, (block.end - at.sample) // batch), block.moved
                if time_limit and done:
                    limit = max(time_limit - (time.monotonic() - start), 1e-9)
                rates = None if learning_rates is None else learning_rates[done : done + count]
                told = (at.step, at.sample + moved, at.learning_rate, at.seed)
                with nullcontext() if block is None else block.read(self._native):
                    ran, status, (number, sample, rate, seed), error = self._native.run(
                        pointers, count, told, rates, sums, limit
                    )
                done += ran
                result = RunResult(done, status, Step(number, sample - moved, rate, seed), error)
        return result

    def profile(self, data: Mapping[str, Array], step: Step, repeats: int) -> Array:
        """Seconds per instruction, shape (repeats, instructions); parameters are changed."""
        with self.store.running(), self.store.device_data.used(), self._lock:
            pointers, block = self._bind(data, step.sample)
            sample = step.sample + (0 if block is None else block.moved)
            told = (step.step, sample, step.learning_rate, step.seed)
            with nullcontext() if block is None else block.read(self._native):
                seconds: Array = self._native.profile(pointers, told, repeats)
        return seconds

    def read(self, value: Value) -> Array:
        found = np.empty(value.spec.shape, value.spec.dtype)
        arena = self.store.device_data.arena(self.program.arena_bytes)
        arena.read_into(found, value.root.offset)
        return found
