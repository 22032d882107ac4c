"""``convkit bench``: race against other libraries on this machine."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_parser", "run"]


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "bench", help="race against other libraries and print the table"
    )
    parser.add_argument(
        "suite",
        nargs="?",
        default="training",
        metavar="SUITE",
        help="training (default): whole training steps against PyTorch",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument("--threads", type=int, metavar="N", help="by default all that may be used")
    parser.add_argument("--json", metavar="FILE", help="also write machine and results to FILE")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the machine, then each case when it is over, then the table.

    Raises
    ------
    ImportError
        If a library to race against is absent.
    ValueError
        If the suite is unknown or the number of threads is not positive.
    """
    import json
    from pathlib import Path

    from convkit import _core
    from convkit.bench.machine import measure
    from convkit.bench.race import Race
    from convkit.bench.report import record, table
    from convkit.bench.suites import REQUIRED, SUITES, without_blas_limits
    from convkit.errors import did_you_mean

    if options.suite not in SUITES:
        raise ValueError(f"unknown suite {options.suite!r}{did_you_mean(options.suite, SUITES)}")
    REQUIRED[options.suite]()
    if options.threads is not None:
        # The yardstick below is measured with the contenders' number of threads.
        _core.set_num_threads(options.threads)
    without_blas_limits()
    machine = measure()
    print(machine, flush=True)

    def progress(race: Race) -> None:
        print(table([race]).splitlines()[-1], flush=True)

    races = SUITES[options.suite](quick=options.quick, threads=options.threads, progress=progress)
    print("", table(races), sep="\n")
    if options.json:
        title = f"convkit bench {options.suite}"
        Path(options.json).write_text(json.dumps(record(title, machine, races), indent=1) + "\n")
