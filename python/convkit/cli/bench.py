"""``convkit bench``: race against other libraries, or kernels against each other."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from convkit.cli.user_kernels import add_file, load_file

if TYPE_CHECKING:
    from convkit.bench.report import Report
    from convkit.testing.calls import Call

__all__ = ["add_parser", "run"]

_SUITES = """\
suites:
  models    training steps of LeNet-5, MLPs, AlexNet and VGG16, and inference (default)
  layers    their layers and the classic five, pass by pass, with the roofline's bound
  rnn       SimpleRNN, LSTM, GRU on rows of images, a model of characters
  small     steps of 1 to 32 samples
  threads   the same steps on 1 to N threads
  scaling   how cost grows with batch, image and width
  memory    peak memory, allocations, the cost of importing
  kernels   rows of an op's table against each other, without other libraries

convkit bench models --cases lenet --json out.json --plot out.svg
convkit bench kernels --op conv2d --pass forward --kernel cpu_im2col --kernel cpu_implicit_gemm
"""


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "bench",
        help="race against other libraries, or kernels against each other",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_SUITES,
    )
    add = parser.add_argument
    add("suite", nargs="?", default=None, metavar="SUITE", help="see below")
    add(
        "--cases",
        action="append",
        metavar="TEXT",
        help="cases whose name contains TEXT; repeatable",
    )
    add("--peers", action="append", metavar="TEXT", help="contenders whose name contains TEXT")
    add("--quick", action="store_true", help="fewer, smaller and shorter: two minutes or so")
    add("--rounds", type=int, metavar="N", help="samples of each contender")
    add("--threads", type=int, metavar="N", help="by default all that may be used")
    add("--isa", metavar="NAME", help="hold everybody to baseline, avx2 or avx512")
    add("--batch", type=int, metavar="N", help="of the suite layers")
    add("--timeout", type=float, metavar="S", help="seconds an answer may take (600)")
    add("--wheel", metavar="FILE", help="of the suite memory: list its parts")
    add("--json", metavar="FILE", help="write everything, for `Report.load`")
    add("--markdown", metavar="FILE", help="write the report")
    add("--plot", metavar="FILE", help="draw the ratios: .svg, .png or .pdf")
    add("--op", help="of the suite kernels; by default that of --file")
    add("--pass", dest="pass_name", metavar="PASS", help="of --op; by default all")
    add("--kernel", action="append", metavar="NAME",
        help="of --op; race it against the best other row, or name several")  # fmt: skip
    add_file(parser)
    parser.set_defaults(run=run)


def _refuse(options: argparse.Namespace, names: tuple[str, ...], message: str) -> None:
    """Refuse arguments of another suite."""
    for name in names:
        if getattr(options, name) not in (None, False):
            flag = "--pass" if name == "pass_name" else f"--{name}"
            raise ValueError(f"{flag} is for {message}")


def _calls(options: argparse.Namespace, names: list[str]) -> list[Call]:
    """The calls to time; `names` gets the rows of a user's file."""
    from convkit.errors import did_you_mean
    from convkit.ops import registry
    from convkit.testing.named_calls import calls_of

    new = load_file(options.file) if options.file else []
    if options.op:
        calls = calls_of(options.op)
    elif new:
        passes = {(row.op, row.pass_name) for row in new}
        ops = dict.fromkeys(row.op for row in new)
        calls = [c for op in ops for c in calls_of(op) if (op, c.pass_name) in passes]
    else:
        raise ValueError("name an op: convkit bench kernels --op conv2d")
    if options.pass_name:
        known = dict.fromkeys(c.pass_name for c in calls)
        if options.pass_name not in known:
            near = did_you_mean(options.pass_name, known)
            raise ValueError(f"[{calls[0].op}] unknown pass {options.pass_name!r}{near}")
        calls = [c for c in calls if c.pass_name == options.pass_name]
    for name in options.kernel or ():
        rows = {r.name for c in calls for r in registry.kernels(c.op, c.pass_name)}
        if name not in rows:
            raise ValueError(f"[{calls[0].op}] unknown kernel {name!r}{did_you_mean(name, rows)}")
    if options.kernel:
        names += [row.name for row in new if row.name not in options.kernel]
        names += options.kernel
        calls = [
            c
            for c in calls
            if any(row.name in options.kernel for row in registry.kernels(c.op, c.pass_name))
        ]
    for text in options.cases or ():
        if not any(text.lower() in c.name.lower() for c in calls):
            raise ValueError(f"[kernels] no case contains {text!r}")
    wanted = [text.lower() for text in options.cases or ("",)]
    return [c for c in calls if any(text in c.name.lower() for text in wanted)]


def _kernels(options: argparse.Namespace) -> None:
    """Print the machine and the times of rows of an op."""
    from convkit import _core
    from convkit.bench import machine
    from convkit.bench.kernels import time_calls

    others = ("json", "markdown", "plot", "peers", "batch", "timeout", "wheel")
    _refuse(options, others, "races against other libraries, such as `convkit bench models`")
    names: list[str] = []
    calls = _calls(options, names)
    if options.rounds is not None and options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    threads = _core.num_threads() if options.threads is None else options.threads
    machine.child_environment(threads, options.isa)  # refuses what there is not
    machine.without_blas_limits()
    _core.set_num_threads(threads)
    if options.isa is not None:
        _core.set_isa(options.isa)
    print(machine.measure(), flush=True)
    time_calls(calls, quick=options.quick, rounds=options.rounds, names=names)


def run(options: argparse.Namespace) -> int:
    """Print each case when it is over, then machine and tables.

    Returns
    -------
    int
        1 if a case came to no result, or a file could not be written.

    Raises
    ------
    ImportError
        If a library to race against is absent.
    OSError
        If a file cannot be written.
    ValueError
        If a suite, a case, a name or a number is unknown.
    """
    from convkit.bench import suites

    if options.suite is None:
        options.suite = "kernels" if options.op or options.file or options.kernel else "models"
    if options.suite == "kernels":
        try:
            _kernels(options)
        except ArithmeticError as error:  # a row is wrong: its case came to no result
            print(f"convkit bench: {error}", file=sys.stderr)
            return 1
        return 0
    suites.find(options.suite)
    _refuse(options, ("op", "file", "kernel", "pass_name"), "`convkit bench kernels`")
    if options.suite != "memory":
        _refuse(options, ("wheel",), "`convkit bench memory`")
    report = suites.run_suite(
        options.suite,
        cases=options.cases,
        peers=options.peers,
        rounds=options.rounds,
        quick=options.quick,
        threads=options.threads,
        isa=options.isa,
        batch=options.batch,
        timeout=600.0 if options.timeout is None else options.timeout,
        wheel=options.wheel,
        json=options.json,
        markdown=options.markdown,
        plot=options.plot,
        progress=progress,
    )
    print(f"\n{report.text()}", flush=True)
    for path, why in report.unwritten.items():
        print(f"convkit bench: {path} was not written: {why}", file=sys.stderr)
    return 1 if report.failed or report.unwritten else 0


def progress(report: Report, case: str) -> None:
    """One line for a case that is over."""
    from convkit.bench.tables import milliseconds

    taken = f"{report.seconds[case]:.0f} s"
    if case in report.failed:
        print(f"{case}: {report.failed[case]} ({taken})", flush=True)
        return
    if report.races:
        race = report.races[-1]
        peer = race.best_peer()
        ours = f"{milliseconds(race.median(race.names[0]))} ms"
        verdict = "no peer was left" if peer is None else f"{race.verdict(peer)} ({peer})"
        left = f"; left out: {', '.join(race.left_out)}" if race.left_out else ""
        print(f"{case}: {ours}, {verdict}{left} ({taken})", flush=True)
        return
    found = report.cases[-1]["memory"]["contenders"]
    peaks = ", ".join(f"{name} {m['peak_mb']:,.0f} MB" for name, m in found.items())
    print(f"{case}: {peaks} ({taken})", flush=True)
