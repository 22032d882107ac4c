"""Profiles of training steps."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.ops.registry import Array
from convkit.run.interpreter import EagerExecutor
from convkit.run.native import NativeExecutor
from convkit.run.profile import Profile, make_profile
from convkit.testing.probe import Probe, probe

if TYPE_CHECKING:
    from convkit.models.model import Model

WARM_UP = 3


def profile(
    model: Model, x: Any, y: Any, *, sample_weight: Any = None, repeats: int = 20
) -> Profile:
    """Time each instruction of a training step on one batch; the model stays as it is.

    Parameters
    ----------
    model : Model
        Compiled.
    x, y : array_like
        One batch.
    sample_weight : array_like, optional
    repeats : int
        Steps that are timed, after a few that are not.

    Returns
    -------
    Profile
        Print it.
    """
    job = probe(model, x, y, sample_weight=sample_weight)
    if all(i.row is not None and i.row.native for i in job.program.instructions):
        executor = NativeExecutor(job.program, job.store)
        executor.profile(job.data, job.step, WARM_UP)
        return make_profile(job.program, executor.profile(job.data, job.step, repeats))
    _eager(job, WARM_UP)
    return make_profile(job.program, _eager(job, repeats))


def _eager(job: Probe, repeats: int) -> Array:
    """Seconds per instruction where Python runs the kernels, some of which are written in it."""
    executor = EagerExecutor(job.program, job.store)
    seconds = np.zeros((repeats, len(job.program.instructions)))
    for n in range(repeats):
        executor.begin(job.data)
        for k, instruction in enumerate(job.program.instructions):
            start = time.perf_counter()
            executor.execute(instruction, job.step)
            seconds[n, k] = time.perf_counter() - start
    return seconds
