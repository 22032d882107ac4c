"""Suites: what `convkit bench NAME` runs."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convkit import _core
from convkit.bench import cases as known
from convkit.bench.cases import Case, contenders
from convkit.bench.machine import Rates, child_environment, unset_variables
from convkit.bench.memory import NOTES as MEMORY_NOTES
from convkit.bench.memory import run_memory
from convkit.bench.process import ContenderError, Crew
from convkit.bench.racing import FEWEST, Race, race
from convkit.bench.report import Report, check_outputs
from convkit.checks import number, whole
from convkit.errors import did_you_mean

__all__ = ["QUICK_SECONDS", "SUITES", "Options", "Suite", "run_suite", "select"]

QUICK_SECONDS = 100.0  # after which `quick` begins nothing, so that it ends within two minutes


@dataclass(frozen=True)
class Options:
    """What a suite was asked for; see `run_suite`."""

    cases: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    rounds: int | None = None
    quick: bool = False
    threads: int | None = None
    isa: str | None = None
    batch: int | None = None
    timeout: float = 600.0
    wheel: str | None = None

    @property
    def most_threads(self) -> int:
        """Those asked for, or all that there are."""
        return _core.usable_cpus() if self.threads is None else self.threads


@dataclass(frozen=True)
class Suite:
    """Races that belong together.

    Attributes
    ----------
    title : str
        Of the report.
    make : callable
        Gives the cases for `Options`.
    sample_seconds, time_limit : float
        About how long a sample lasts, and after how many seconds a race begins no further round.
    notes : str
        What the figures mean.
    """

    title: str
    make: Callable[[Options], list[Case]]
    sample_seconds: float
    time_limit: float
    notes: str


_COMMON = """\
Contenders run in processes of their own with the same number of threads. Their outputs were \
compared before anything was timed; then they took turns, sample by sample, in an order drawn anew \
for each round, those that waited being stopped. A ratio is that of the medians, with the 95 % \
interval of a bootstrap over the rounds; there is no verdict where it includes 1, has fewer than \
five rounds, or other work kept half a processor or more from the contenders. Peak, copy bandwidth \
and clock were measured between the rounds, on the same threads, and shares of the peak are of the \
median in the same seconds."""
_STEPS = """\
A step is forward, loss, backward and update on float32 data. Everybody starts from the same \
weights and walks through the same arrays; compared were the outputs, the losses of the first \
steps and the norm of the change of every weight. Dropout (AlexNet, VGG16) is off in what is \
compared, as no two libraries draw the same masks, and on in what is timed. convkit runs its \
public `fit` without shuffling, PyTorch the usual loop over slices of a tensor. Operations are \
those of direct convolutions and of products of matrices."""

SUITES = {
    "models": Suite(
        "Training steps and inference",
        lambda o: known.models(o.quick), 0.15, 60.0,
        f"{_STEPS} LeNet-5 (tanh, average pooling), AlexNet and VGG16 train with SGD and momentum "
        "0.9, the MLPs (ReLU) with Adam. Inference is the time of one call for one batch.",
    ),
    "layers": Suite(
        "Layers, pass by pass",
        lambda o: known.layers(o.quick, o.batch), 0.1, 10.0,
        "A pass of a layer as a training step runs it: the kernel that convkit chooses, through "
        "its executor; one operator of PyTorch, which allocates its outputs in each step. An "
        "update is SGD with momentum 0.9, fused; of layers with few weights (lenet's first: some "
        "160) it compares an instruction of a compiled program with one call from Python, and the "
        "ratio is that of their costs, not of arithmetic. GFLOP/s count the operations of direct "
        "convolution; the bound is the larger of operations over peak and bytes over copy "
        "bandwidth, each operand moved once (what is in a cache can be faster). classic.L1 to L5 "
        "are the layers of soumith/convnet-benchmarks.",
    ),
    "rnn": Suite("Recurrent networks", lambda o: known.rnn(o.quick), 0.15, 60.0, _STEPS),
    "small": Suite(
        "Steps of few samples", lambda o: known.small(o.quick), 0.05, 10.0,
        f"{_STEPS} With few samples there is little arithmetic, and what is left is what each step "
        "costs: calls, allocations, threads that wait for each other.",
    ),
    "threads": Suite(
        "Threads", lambda o: known.threads(o.quick, o.most_threads), 0.1, 20.0,
        f"{_STEPS} Every number of threads is a race of its own; speed-ups are over one thread of "
        "the same library.",
    ),
    "scaling": Suite(
        "How cost grows", lambda o: known.scaling(o.quick), 0.05, 10.0,
        f"{_STEPS} The exponent says how time grows between a line and the one before: 1 in "
        "proportion to the value, 2 with its square.",
    ),
    "memory": Suite("Memory", lambda o: known.memory(o.quick), 0.0, 0.0, MEMORY_NOTES),
}  # fmt: skip


def _texts(value: str | Iterable[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def find(name: str) -> Suite:
    """The suite of that name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name == "kernels":
        raise ValueError(
            "rows of a table race in one process, without other libraries: `convkit bench kernels "
            "--op OP`, or convkit.bench.kernels.time_rows"
        )
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}{did_you_mean(name, [*SUITES, 'kernels'])}")
    return SUITES[name]


def select(name: str, options: Options) -> list[Case]:
    """The cases of a suite that were asked for, and that have someone to race against.

    Raises
    ------
    ImportError
        If a library is absent.
    ValueError
        If the suite or a number is unknown, or no case is left.
    """
    child_environment(options.most_threads, options.isa)
    owner = f"suite {name!r}"
    if options.rounds is not None:
        whole(owner, "rounds", options.rounds, 1)
    if options.batch is not None:
        if name != "layers":
            raise ValueError(f"{owner}: batch is for the suite layers")
        whole(owner, "batch", options.batch, 1)
    number(owner, "timeout", options.timeout, above=0)
    every = find(name).make(options)
    for text in options.cases:
        if not any(text.lower() in case.name.lower() for case in every):
            names = did_you_mean(text, [repr(case.name) for case in every])
            raise ValueError(f"[{name}] no case contains {text!r}{names}")
    chosen = [
        case
        for case in every
        if any(text.lower() in case.name.lower() for text in options.cases)
        or not (options.cases or (case.long and options.quick))
    ]
    for text in options.peers:
        if not any(text in peer for case in chosen for peer in case.peers[1:]):
            peers = {peer for case in chosen for peer in case.peers[1:]}
            raise ValueError(f"[{name}] no peer contains {text!r}{did_you_mean(text, peers)}")
    left = [c for c in chosen if contenders(c, quick=options.quick, only=options.peers)]
    if not left:
        raise ValueError(f"[{name}] with quick=True none of these peers takes part")
    return left


def run_suite(
    name: str,
    *,
    cases: str | Sequence[str] | None = None,
    peers: str | Sequence[str] | None = None,
    rounds: int | None = None,
    quick: bool = False,
    threads: int | None = None,
    isa: str | None = None,
    batch: int | None = None,
    timeout: float = 600.0,
    wheel: str | None = None,
    json: str | Path | None = None,
    markdown: str | Path | None = None,
    plot: str | Path | None = None,
    progress: Callable[[Report, str], None] | None = None,
) -> Report:
    """Run a suite of races: convkit against PyTorch, NumPy and scikit-learn.

    Parameters
    ----------
    name : str
        "models", "layers", "rnn", "small", "threads", "scaling" or "memory".
    cases : str or sequence of str, optional
        Only those whose name contains one of these texts.
    peers : str or sequence of str, optional
        Only those contenders, beside convkit, whose name contains one of these texts. Libraries of
        the others need not be installed.
    rounds : int, optional
        Samples of each contender; by default 21, or 5 if `quick`. Where steps take long there are
        fewer, but five at least.
    quick : bool
        Fewer, smaller and shorter: about two minutes at most, as no round or case begins after
        100 seconds; the report says which were left. `torch.compile` does not take part.
    threads : int, optional
        Of every contender; by default all that this process may use. For the suite "threads" the
        largest number.
    isa : str, optional
        Hold everybody to "baseline", "avx2" or "avx512".
    batch : int, optional
        Of the suite "layers", in place of each layer's own.
    timeout : float
        Seconds that one answer of a contender may take.
    wheel : str, optional
        A wheel whose parts the suite "memory" lists.
    json, markdown, plot : path, optional
        Files to write: after every case, so that what was measured is kept when a run is ended, and
        the plot at the end.
    progress : callable, optional
        Called with the report so far and the name of the case when it is over.

    Returns
    -------
    Report
        A case that failed is in its ``failed``, with the reason; the others go on. A file that
        could not be written in the end is in its ``unwritten``.

    Warns
    -----
    RuntimeWarning
        When a file can no longer be written; the run goes on.

    Raises
    ------
    ImportError
        If a library that takes part, or matplotlib for `plot`, is absent.
    OSError
        If a file cannot be written; before anything runs.
    ValueError
        If a name or a number is unknown, or nobody is left to race against.
    """
    options = Options(
        _texts(cases), _texts(peers), rounds, quick, threads, isa, batch, timeout, wheel
    )
    if name == "memory" and plot is not None:
        raise ValueError("[memory] there is no race to draw; leave out the plot")
    chosen = select(name, options)
    check_outputs(json, markdown, plot)
    suite = SUITES[name]
    notes = suite.notes if name == "memory" else f"{suite.notes}\n\n{_COMMON}"
    report = Report.begin(name, suite.title, notes, options, unset_variables())

    report.planned = [case.name for case in chosen]
    files = {"json_file": json, "markdown_file": markdown}

    def over(case: str) -> None:
        _write(report, files)
        if progress is not None:
            progress(report, case)

    budget = _Budget(report, quick)
    if name == "memory":
        run_memory(report, chosen, options, over, budget.is_up)
    else:
        _run_races(report, suite, chosen, options, over, budget)
    _write(report, {**files, "plot_file": plot})
    return report


class _Budget:
    """The time of a suite, from when it is made."""

    def __init__(self, report: Report, quick: bool) -> None:
        self._report = report
        self.deadline = time.monotonic() + QUICK_SECONDS if quick else math.inf

    def is_up(self) -> bool:
        """Whether no case may begin; the report says so then."""
        up = time.monotonic() > self.deadline
        if up:
            self._report.ended = f"the {QUICK_SECONDS:g} seconds of --quick were up"
        return up


def _write(report: Report, files: Mapping[str, str | Path | None]) -> None:
    """Write what can be written: what was measured is worth more than the file."""
    for kind, path in files.items():
        if path is None:
            continue
        try:
            report.write(**{kind: path})
            report.unwritten.pop(str(path), None)
        except (OSError, ValueError) as error:  # of a plot, if there is no race to draw
            if str(path) not in report.unwritten:
                warnings.warn(
                    f"[{report.suite}] {path} was not written: {error}; the run goes on",
                    RuntimeWarning,
                    stacklevel=3,
                )
            report.unwritten[str(path)] = str(error)


def _run_races(
    report: Report,
    suite: Suite,
    chosen: Sequence[Case],
    options: Options,
    over: Callable[[str], None],
    budget: _Budget,
) -> None:
    rates: list[Rates] = []
    busiest = 0.0
    for threads in dict.fromkeys(case.threads or options.most_threads for case in chosen):
        group = [case for case in chosen if (case.threads or options.most_threads) == threads]
        with Crew(threads, options.isa, options.timeout) as crew:
            for case in group:
                if budget.is_up():
                    return
                start = time.monotonic()
                try:
                    result = _run_case(case, suite, options, crew, budget.deadline)
                    assert result.rates is not None
                    rates.append(result.rates)
                    if result.load is not None:
                        busiest = max(busiest, result.load.others)
                    report.machine = crew.machine(Rates.joined(rates), busiest)
                    report.add(case.name, result, case.target, case.labels)
                except (ArithmeticError, ContenderError) as error:
                    report.failed[case.name] = str(error)
                report.seconds[case.name] = time.monotonic() - start
                over(case.name)


def _run_case(case: Case, suite: Suite, options: Options, crew: Crew, deadline: float) -> Race:
    quick = options.quick
    return race(
        case.name,
        contenders(case, quick=quick, only=options.peers),
        rounds=options.rounds or (FEWEST if quick else 21),
        sample_seconds=suite.sample_seconds / (5 if quick else 1),
        time_limit=min(suite.time_limit, 3.0) if quick else suite.time_limit,
        deadline=deadline,
        crew=crew,
    )
