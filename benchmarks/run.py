"""Run a suite of `convkit bench` and record it.

Run as ``python benchmarks/run.py SUITE [--isa NAME] [--rounds N] [--cases TEXT] [--wheel FILE]``
with the extra ``bench`` installed, on a machine that does nothing else; writes
``benchmarks/results/SUITE.md``, ``.json`` and ``.svg`` (with --isa ``SUITE-NAME``).
``convkit bench SUITE`` is for all else.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from convkit.bench import SUITES, run_suite
from convkit.cli.bench import progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--isa")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--cases", action="append", help="those whose name contains it")
    parser.add_argument("--wheel", help="of the suite memory: list its parts")
    options = parser.parse_args()
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    stem = results / (options.suite if options.isa is None else f"{options.suite}-{options.isa}")
    report = run_suite(
        options.suite,
        isa=options.isa,
        rounds=options.rounds,
        cases=options.cases,
        wheel=options.wheel,
        json=stem.with_suffix(".json"),
        markdown=stem.with_suffix(".md"),
        plot=None if options.suite == "memory" else stem.with_suffix(".svg"),
        progress=progress,
    )
    print(report.text())


if __name__ == "__main__":
    main()
