"""Types of the native module; csrc/module.cpp is its source."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

_Spec = tuple[tuple[int, ...], str]
_Step = tuple[int, int, float, int]
_Reference = tuple[int, int, tuple[int, ...], str]

cuda_build: str
thread_flops: float
thread_bytes: float

def ops() -> list[str]: ...
def kernels(op: str) -> list[dict[str, Any]]: ...
def choices(op: str, field: str) -> tuple[str, ...]: ...
def supports(
    op: str, pass_name: str, name: str, specs: Sequence[_Spec | None], params: dict[str, Any], /
) -> bool: ...
def workspace_bytes(
    op: str,
    pass_name: str,
    name: str,
    specs: Sequence[_Spec | None],
    params: dict[str, Any],
    threads: int,
    /,
) -> int: ...
def call(
    op: str,
    pass_name: str,
    name: str,
    operands: Sequence[NDArray[Any] | None],
    params: dict[str, Any],
    step: _Step,
    seconds: float,
    /,
) -> None: ...
def call_count(op: str, pass_name: str, name: str, /) -> int: ...
def isa() -> str: ...
def set_isa(name: str, /) -> None: ...
def available_isas() -> list[str]: ...
def cpu_name() -> str: ...
def usable_cpus() -> int: ...
def worth_threads(seconds: float, most: int) -> int: ...
def num_threads() -> int: ...
def set_num_threads(count: int, /) -> None: ...
def blas_info() -> str: ...
def peak_flops(seconds: float) -> float: ...
def copy_bandwidth(bytes: int, seconds: float) -> float: ...
def clock_rate(seconds: float) -> float: ...

class CopyTest:
    def __init__(self, bytes: int) -> None: ...
    def bandwidth(self, seconds: float) -> float: ...

class Buffer:
    def __init__(self, bytes: int) -> None: ...
    @property
    def nbytes(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Executor:
    def __init__(
        self,
        instructions: Sequence[tuple[Any, ...] | int],
        readouts: Sequence[_Reference | None],
        guards: Sequence[_Reference | None],
        commit: int,
        batch: int,
    ) -> None: ...
    def run(
        self,
        buffers: Sequence[NDArray[Any]],
        steps: int,
        step: _Step,
        learning_rates: NDArray[Any] | None,
        sums: NDArray[Any],
        time_limit: float,
        callables: Sequence[Callable[[_Step], None]] = ...,
    ) -> tuple[int, str, _Step, BaseException | None]: ...
    def profile(
        self,
        buffers: Sequence[NDArray[Any]],
        step: _Step,
        repeats: int,
        callables: Sequence[Callable[[_Step], None]] = ...,
    ) -> NDArray[Any]: ...
