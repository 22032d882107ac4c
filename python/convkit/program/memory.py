"""What the memory of a program comes to, from its listing alone: nothing is run or allocated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convkit import _core
from convkit.cuda import native as cuda
from convkit.ops import registry
from convkit.ops.registry import Spec
from convkit.program.program import (
    ARENA,
    CONSTANTS,
    GRADIENTS,
    PARAMETERS,
    SLOTS,
    Instruction,
    Program,
    Value,
)

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter

__all__ = [
    "MemoryEstimate",
    "available_memory",
    "estimate",
    "require_memory",
    "require_room",
    "require_weights",
]

PAGE = 2 << 20  # bytes: what large buffers are made of, see csrc/exec/buffer.h
SMALL = 64 << 20  # bytes: an arena that nobody asks the system about


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that running a model's program makes resident; print it.

    Python, NumPy and the libraries come on top, some 60 MB, and so do the user's own arrays but
    for one batch of them.

    Attributes
    ----------
    mode : str
    batch : int
    parameters : int
    gradients : int
        Those that the program writes down.
    optimizer : int
        The optimizer's state.
    activations : int
        Everything between input and loss, and its gradients: what is alive at the same time.
    workspace : int
        What kernels need besides, where the activations leave no room for it, on as many threads as
        there are now.
    constants : int
        Tables that layers bring along.
    data : int
        One batch as the user gives it.
    """

    mode: str
    batch: int
    parameters: int
    gradients: int
    optimizer: int
    activations: int
    workspace: int
    constants: int
    data: int

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by name."""
        names = "parameters gradients optimizer activations workspace constants data"
        return {name: getattr(self, name) for name in names.split()}

    @property
    def total(self) -> int:
        """All of it, in bytes."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        rows = {**self.parts, "total": self.total}
        lines = [f"memory of {self.mode} in batches of {self.batch}"]
        lines += [f"  {name:<12}{nbytes / 1e6:>12,.2f} MB" for name, nbytes in rows.items()]
        return "\n".join(lines)


def _written(i: Instruction) -> list[Value]:
    updates = len(registry.get(i.op)[i.pass_name].updates)
    values = [*i.inputs[len(i.inputs) - updates :], *i.outputs]
    return [v for v in values if v is not None]


def _worked(program: Program) -> list[Value]:
    """The workspaces, each as long as it gets on the threads that there are.

    A kernel that divides its work has scratch memory for many threads; what all of them share is
    taken for the beginning.
    """
    threads = _core.num_threads()
    values = []
    for i in program.instructions:
        if i.row is not None and i.workspace is not None:
            nbytes = i.row.workspace_bytes(i.specs, i.params, threads)
            values.append(Value("", Spec((nbytes,), "uint8"), offset=i.workspace.offset))
    return values


def _touched(values: Iterable[Value]) -> int:
    """Bytes of a buffer that some value covers, in whole pages where the buffer is large."""
    spans = sorted((v.root.offset, v.root.offset + v.root.spec.nbytes) for v in values)
    page = PAGE if spans and max(end for _, end in spans) >= PAGE else 1
    total = at = 0
    for begin, end in spans:
        begin, end = max(begin // page * page, at), math.ceil(end / page) * page
        total += max(end - begin, 0)
        at = max(at, end)
    return total


def estimate(program: Program) -> MemoryEstimate:
    """The memory of a program.

    Parameters
    ----------
    program : Program
        Allocated.

    Returns
    -------
    MemoryEstimate
    """
    written = [v for i in program.instructions for v in _written(i)]

    def of(buffer: str, values: Iterable[Value]) -> int:
        return _touched(v for v in values if v.root.buffer == buffer)

    activations = of(ARENA, written)
    return MemoryEstimate(
        mode=program.mode,
        batch=program.batch,
        parameters=of(PARAMETERS, program.values()),
        gradients=of(GRADIENTS, written),
        optimizer=of(SLOTS, written),
        activations=activations,
        workspace=of(ARENA, [*written, *_worked(program)]) - activations,
        constants=of(CONSTANTS, program.constants),
        data=sum(v.spec.nbytes for v in program.externals.values()),
    )


def available_memory() -> int | None:
    """Bytes that this process can still get without swapping; None where nobody knows.

    Of the system (MemAvailable), and of the control group that holds the process, if it has a
    limit (cgroup v2).
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    limits = [free * 1024]
    try:
        name = Path("/proc/self/cgroup").read_text().split("::/", 1)[1].strip()
        group = Path("/sys/fs/cgroup", name)
        limit, used = ((group / f"memory.{name}").read_text() for name in ("max", "current"))
        limits.append(max(int(limit) - int(used), 0))
    except (OSError, IndexError, ValueError):  # no such group, or "max"
        pass
    return min(limits)


def require_memory(
    program: Program, held: int = 0, smaller: Callable[[int], Program] | None = None
) -> None:
    """Refuse a program whose arena the machine has no memory for, before the system kills it.

    Parameters
    ----------
    program : Program
    held : int
        Bytes of the arena that are there already.
    smaller : callable, optional
        Makes the same program for fewer samples, so that a number can be named that has room.

    Raises
    ------
    MemoryError
        With the estimate and the way out.
    """
    if program.arena_bytes <= max(held, SMALL):
        return
    on_gpu = program.policy.device == "cuda"
    needed = program.arena_bytes - held
    free = cuda.free_memory(needed) if on_gpu else available_memory()
    if free is not None and needed > free:
        raise MemoryError(
            f"model {program.name!r} needs {program.arena_bytes / 1e6:,.0f} MB for activations and "
            f"workspace, and the {'GPU' if on_gpu else 'machine'} has {free / 1e6:,.0f} MB left; "
            f"{_way(program, held + free, smaller)}\n{estimate(program)}"
        )


def _way(program: Program, room: int, smaller: Callable[[int], Program] | None) -> str:
    """What fits: a batch size that was tried, with a tenth of the room to spare."""
    batch, needed = program.batch, program.arena_bytes
    while smaller is not None and batch > 1:
        batch = max(1, min(batch - 1, int(0.9 * batch * room / needed)))
        needed = smaller(batch).arena_bytes
        if needed <= 0.9 * room:
            return f"take smaller batches: batch_size={batch} fits"
    if smaller is None and batch > 1:
        return f"take smaller batches than batch_size={batch}, or a smaller model"
    return "not even batches of one sample fit: take a smaller model, or smaller samples"


def require_room(optimizer: str, size: int, needed: int) -> None:
    """Refuse an optimizer whose vectors and matrices of so many weights have no room.

    Raises
    ------
    MemoryError
    """
    free = available_memory() if needed > SMALL else None
    if free is not None and needed > free:
        raise MemoryError(
            f"[fit] {optimizer} holds {needed / 1e6:,.0f} MB for {size:,} weights, and the machine "
            f"has {free / 1e6:,.0f} MB left; take a smaller model, an optimizer that remembers "
            'less, such as LBFGS(memory_size=3), or one of batches, such as "adam"'
        )


def require_weights(name: str, parameters: Sequence[Parameter]) -> None:
    """Refuse a model whose weights the machine has no memory for, before any is allocated.

    Raises
    ------
    MemoryError
        That names the largest of them and the way out.
    """
    needed = 4 * sum(p.size for p in parameters)
    if needed <= SMALL:
        return
    free = available_memory()
    if free is not None and needed > free:
        largest = max(parameters, key=lambda p: p.size)
        raise MemoryError(
            f"model {name!r} has weights of {needed / 1e6:,.0f} MB, and the machine has "
            f"{free / 1e6:,.0f} MB left; the largest are {largest.path!r} of shape "
            f"{largest.shape}, {4 * largest.size / 1e6:,.0f} MB: make layer {largest.layer!r} "
            "smaller, or what goes into it, such as by pooling before Flatten"
        )
