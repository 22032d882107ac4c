"""Types of the native module of the CUDA kernels; csrc/cuda/module.cpp is its source."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from convkit._core import _Reference, _Spec, _Step

emulated: bool
most_readouts: int

class Error(RuntimeError): ...

def ops() -> list[str]: ...
def kernels(op: str) -> list[dict[str, Any]]: ...
def supports(
    op: str, pass_name: str, name: str, specs: Sequence[_Spec | None], params: bytes, /
) -> bool: ...
def workspace_bytes(
    op: str, pass_name: str, name: str, specs: Sequence[_Spec | None], params: bytes, /
) -> int: ...
def call(
    op: str,
    pass_name: str,
    name: str,
    operands: Sequence[NDArray[Any] | None],
    inputs: int,
    params: bytes,
    step: _Step,
    /,
) -> None: ...
def call_count(op: str, pass_name: str, name: str, /) -> int: ...
def why_unavailable() -> str: ...
def memory_info() -> tuple[int, int]: ...
def device_info() -> dict[str, Any]: ...
def to_dlpack(
    pointer: int, shape: Sequence[int], dtype: str, device: int, owner: object, versioned: bool
) -> object: ...
def from_dlpack(capsule: object) -> tuple[int, tuple[int, ...], str, int, object]: ...
def finish(stream: int) -> None: ...
def read_into(array: NDArray[Any], pointer: int, /) -> None: ...

class Memory:
    def __init__(self, bytes: int, shared: bool) -> None: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def pointer(self) -> int: ...
    def write(self, array: NDArray[Any], offset: int = 0) -> None: ...
    def read_into(self, array: NDArray[Any], offset: int = 0) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class PlacedCall:
    def __init__(
        self,
        op: str,
        pass_name: str,
        name: str,
        operands: Sequence[NDArray[Any] | None],
        params: bytes,
        step: _Step,
        /,
    ) -> None: ...
    def seconds(self, launches: int) -> float: ...

class Executor:
    def __init__(
        self,
        instructions: Sequence[tuple[Any, ...]],
        readouts: Sequence[_Reference | None],
        guards: Sequence[tuple[_Reference | None, float]],
        commit: int,
        batch: int,
    ) -> None: ...
    def run(
        self,
        buffers: Sequence[int],
        steps: int,
        step: _Step,
        learning_rates: NDArray[Any] | None,
        sums: NDArray[Any],
        time_limit: float,
    ) -> tuple[int, str, _Step, BaseException | None]: ...
    def profile(self, buffers: Sequence[int], step: _Step, repeats: int) -> NDArray[Any]: ...
