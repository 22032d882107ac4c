"""The native executor: C++ runs whole steps and whole epochs without the GIL."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from convkit import _core
from convkit.ops.registry import Array, Step
from convkit.program.program import ARENA, GRADIENTS, OWNED, PARAMETERS, SLOTS, Program, Value
from convkit.run.executor import RunResult
from convkit.run.store import Store


class NativeExecutor:
    """Runs a program whose rows are all native. See `convkit.run.executor.Executor`."""

    def __init__(self, program: Program, store: Store) -> None:
        self.program = program
        self.store = store
        self._names = [*OWNED, *program.externals]
        number = {name: i for i, name in enumerate(self._names)}

        def reference(v: Value | None) -> tuple[int, int, tuple[int, ...], str] | None:
            if v is None:
                return None
            return number[v.root.buffer], v.root.offset, v.spec.shape, v.spec.dtype

        instructions = []
        for i in program.instructions:
            assert i.row is not None
            operands = [reference(v) for v in i.operands]
            work = reference(i.workspace)
            instructions.append((i.op, i.pass_name, i.row.name, dict(i.params), operands, work))
        self._native = _core.Executor(
            instructions,
            [reference(v) for v in program.readouts.values()],
            reference(program.total) if program.commit < len(program.instructions) else None,
            program.commit,
            program.batch,
        )
        self._arena = store.arena(program.arena_bytes)

    def _buffers(self, data: Mapping[str, Array]) -> list[Array]:
        self._arena = self.store.arena(self.program.arena_bytes)
        owned = {
            ARENA: self._arena,
            PARAMETERS: self.store.parameters,
            GRADIENTS: self.store.gradients,
            SLOTS: self.store.slots,
        }
        return [owned[name] if name in owned else data[name] for name in self._names]

    def run(
        self,
        data: Mapping[str, Array],
        steps: int,
        step: Step,
        learning_rates: Array | None,
        sums: Array,
        time_limit: float = 0.0,
    ) -> RunResult:
        done, status, after, error = self._native.run(
            self._buffers(data),
            steps,
            (step.step, step.sample, step.learning_rate, step.seed),
            learning_rates,
            sums,
            time_limit,
        )
        return RunResult(done, status, Step(*after), error)

    def profile(self, data: Mapping[str, Array], step: Step, repeats: int) -> Array:
        """Seconds per instruction, shape (repeats, instructions); parameters are changed."""
        block = (step.step, step.sample, step.learning_rate, step.seed)
        seconds: Array = self._native.profile(self._buffers(data), block, repeats)
        return seconds

    def read(self, value: Value) -> Array:
        root = value.root
        flat = self._arena[root.offset : root.offset + value.spec.nbytes]
        return np.frombuffer(flat, value.spec.dtype).reshape(value.spec.shape)
