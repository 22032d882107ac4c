"""What the three executors have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from convkit.errors import did_you_mean
from convkit.ops.registry import Array, Step

if TYPE_CHECKING:
    from convkit.program.program import Program, Value
    from convkit.run.store import Store

KINDS = ("native", "eager", "reference", "cuda")


class RunResult(NamedTuple):
    """How a run ended.

    Attributes
    ----------
    steps : int
        Completed steps.
    status : str
        "done"; "time_up": the time limit came first; "not_finite": the loss or a gradient of the
        next step is NaN or infinite, and no parameter was changed by it; "interrupted": a signal
        came or a row written in Python raised, and the step that it met was dropped whole (but for
        what an update of that kind had changed before).
    step : Step
        The step block as the next step would see it.
    error : BaseException or None
        What the signal's handler or the row raised, for the caller to raise once the steps are
        counted.
    """

    steps: int
    status: str
    step: Step
    error: BaseException | None = None


class Executor(Protocol):
    """Runs one program, step after step."""

    program: Program

    def run(
        self,
        data: Mapping[str, Array],
        steps: int,
        step: Step,
        learning_rates: Array | None,
        sums: Array,
        time_limit: float = 0.0,
    ) -> RunResult:
        """Run steps over bound data.

        Parameters
        ----------
        data : mapping of str to ndarray
            An array for each name in ``program.externals``.
        steps : int
        step : Step
            Where to begin; each step consumes ``program.batch`` samples from ``step.sample`` on.
        learning_rates : ndarray of float64, shape (steps,), optional
        sums : ndarray of float64
            One value per element of the program's readouts, in order; added to.
        time_limit : float
            Seconds after which no new step begins; 0 for none.

        Returns
        -------
        RunResult
        """

    def read(self, value: Value) -> Array:
        """The array of a kept value after the last step; valid until the next run."""


def make_executor(kind: str, program: Program, store: Store) -> Executor:
    """An executor for a program.

    Parameters
    ----------
    kind : str
        "native" (C++ runs whole epochs, or a GPU does if the program is for one), "eager" (one
        kernel at a time, values visible), "reference" (NumPy in float64: the specification) or
        "cuda" (graphs on a GPU).
    program : Program
    store : Store

    Returns
    -------
    Executor

    Raises
    ------
    ValueError
        If `kind` is none of these.
    """
    from convkit.run.interpreter import EagerExecutor, ReferenceExecutor
    from convkit.run.native import NativeExecutor

    if kind == "cuda" or (kind, program.policy.device) == ("native", "cuda"):
        from convkit.run.cuda import CudaExecutor

        return CudaExecutor(program, store)
    if kind == "native":
        return NativeExecutor(program, store)
    if kind == "eager":
        return EagerExecutor(program, store)
    if kind == "reference":
        return ReferenceExecutor(program, store)
    raise ValueError(f"unknown executor {kind!r}{did_you_mean(kind, KINDS)}")
