"""Profiles of training steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit.run import make_executor
from convkit.run.profile import Profile, make_profile
from convkit.testing.probe import probe

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
    job = probe(model, x, y, sample_weight=sample_weight, verb="profile")
    executor: Any = make_executor("native", job.program, job.store)
    executor.profile(job.data, job.step, WARM_UP)
    return make_profile(job.program, executor.profile(job.data, job.step, repeats))
