"""``convkit bench``: race against other libraries, or kernels against each other."""

from __future__ import annotations

import argparse
from typing import Any

from convkit.cli.user_kernels import add_file, load_file

__all__ = ["add_parser", "run"]


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "bench", help="race against other libraries, or kernels against each other"
    )
    parser.add_argument(
        "suite",
        nargs="?",
        default="training",
        metavar="SUITE",
        help="training (default): whole training steps against PyTorch; "
        "kernels: every row of an op's table, without other libraries",
    )
    parser.add_argument("--op", help="of the suite kernels; by default that of --file")
    add_file(parser)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument("--threads", type=int, metavar="N", help="by default all that may be used")
    parser.add_argument("--json", metavar="FILE", help="also write machine and results to FILE")
    parser.set_defaults(run=run)


def _kernels(options: argparse.Namespace) -> None:
    """Print the machine and the times of every row of an op."""
    from convkit import _core
    from convkit.bench import machine
    from convkit.bench.kernels import time_calls
    from convkit.bench.suites import without_blas_limits
    from convkit.testing.named_calls import calls_of

    if options.json:
        raise ValueError("--json is for `convkit bench training`")
    without_blas_limits()
    if options.threads is not None:
        _core.set_num_threads(options.threads)
    new = load_file(options.file) if options.file else []
    if options.op:
        calls = calls_of(options.op)
    elif new:
        passes = {(row.op, row.pass_name) for row in new}
        ops = dict.fromkeys(row.op for row in new)
        calls = [c for op in ops for c in calls_of(op) if (op, c.pass_name) in passes]
    else:
        raise ValueError("name an op: convkit bench kernels --op conv2d")
    yardstick = machine.measure()
    print(yardstick, flush=True)
    time_calls(calls, yardstick, quick=options.quick)


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

    if options.suite == "kernels":
        _kernels(options)
        return
    if options.suite not in SUITES:
        known = did_you_mean(options.suite, [*SUITES, "kernels"])
        raise ValueError(f"unknown suite {options.suite!r}{known}")
    if options.op or options.file:
        raise ValueError("--op and --file are for `convkit bench kernels`")
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
