"""Suites: what `convkit bench NAME` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from convkit import _core
from convkit.bench.cases import CASES
from convkit.bench.machine import BLAS_VARIABLES
from convkit.bench.race import Contender, Race, race
from convkit.errors import missing_extra


def without_blas_limits() -> None:
    """Start this process again without the variables that hold OpenBLAS back, if any is set."""
    held = [v for v in BLAS_VARIABLES if v in os.environ]
    if held:
        print(f"unsetting {', '.join(held)}: they hold OpenBLAS to another processor's kernels")
        environment = {k: v for k, v in os.environ.items() if k not in held}
        arguments = [sys.executable, *sys.orig_argv[1:]]
        sys.exit(subprocess.run(arguments, env=environment, check=False).returncode)


def require_torch() -> None:
    """Raise an ImportError that names the extra unless PyTorch is installed."""
    if find_spec("torch") is None:
        raise missing_extra("torch", "bench", "racing against PyTorch")


def training_contenders(case: str) -> list[Contender]:
    """convkit, and PyTorch in the modes that a user who wants speed would try."""
    require_torch()
    torch = "convkit.bench.peers.torch_training:Training"
    rivals = [
        Contender("torch eager", torch, {"case": case}),
        Contender("torch eager, fused optimizer", torch, {"case": case, "fused": True}),
    ]
    if CASES[case].network != "mlp":
        arguments = {"case": case, "fused": True, "channels_last": True}
        rivals.append(Contender("torch channels_last, fused optimizer", torch, arguments))
    ours = Contender("convkit", "convkit.bench.peers.convkit_training:Training", {"case": case})
    return [ours, *rivals]


def training(
    *,
    quick: bool = False,
    threads: int | None = None,
    cases: Sequence[str] | None = None,
    progress: Callable[[Race], None] | None = None,
) -> list[Race]:
    """Whole training steps (forward, loss, backward, update) against PyTorch.

    Parameters
    ----------
    quick : bool
        Fewer and shorter samples.
    threads : int, optional
        By default all that this process may use.
    cases : sequence of str, optional
        Names from `convkit.bench.cases.CASES`; by default all.
    progress : callable, optional
        Called with each race when it is over.

    Returns
    -------
    list of Race

    Raises
    ------
    ImportError
        If PyTorch is absent.
    """
    races = []
    for case in cases or CASES:
        result = race(
            case,
            training_contenders(case),
            rounds=7 if quick else 21,
            sample_seconds=0.05 if quick else 0.15,
            threads=threads or _core.usable_cpus(),
        )
        races.append(result)
        if progress is not None:
            progress(result)
    return races


SUITES = {"training": training}
# What to check before a suite, or anything that takes time, begins.
REQUIRED: dict[str, Callable[[], None]] = {"training": require_torch}
