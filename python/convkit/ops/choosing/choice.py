"""The candidates for a call, and the one that runs it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from convkit.errors import did_you_mean
from convkit.ops import registry
from convkit.ops.choosing.costs import predicted_seconds
from convkit.ops.choosing.errors import error_units
from convkit.ops.choosing.policy import AS_USUAL, Policy, call_text
from convkit.ops.choosing.refusals import refusal
from convkit.ops.registry import Params, Row, Spec

__all__ = ["Candidate", "Choice", "choose", "consider"]

# Rows that are there for their simplicity: chosen where no other is left.
PLAIN = ("cpu_naive", "reference")
NAMED = "named in kernels"


@dataclass(eq=False)
class Candidate:
    """A row of the table, in view of a call.

    Attributes
    ----------
    row : Row
    specs : sequence of Spec or None
    params : mapping
    ruled_out : str
        Why it cannot be chosen; empty if it can.
    measured : float or None
        Seconds on the threads that there are, the median of several; None where it was not
        measured.
    """

    row: Row
    specs: Sequence[Spec | None]
    params: Params
    ruled_out: str = ""
    measured: float | None = None

    @property
    def name(self) -> str:
        """The row's name."""
        return self.row.name

    @property
    def plain(self) -> bool:
        """Whether it is chosen only for want of others."""
        return self.name in PLAIN

    @cached_property
    def supports(self) -> bool:
        """Whether it can run the call."""
        return self.row.supports(self.specs, self.params)

    @cached_property
    def workspace_bytes(self) -> int:
        """Scratch memory that it needs."""
        return self.row.workspace_bytes(self.specs, self.params) if self.supports else 0

    @cached_property
    def error(self) -> float:
        """Its error bound, in units of the bound of its pass."""
        return error_units(self.row, self.specs, self.params)

    @cached_property
    def predicted(self) -> float | None:
        """Seconds on one thread by the cost model; None where there is no model of it."""
        return predicted_seconds(self.row, self.specs, self.params) if self.supports else None

    @property
    def own(self) -> bool:
        """Whether a user registered it."""
        return not self.row.native and self.name != "reference"


@dataclass(frozen=True, eq=False)
class Choice:
    """Which row runs a call, out of which, and why.

    Attributes
    ----------
    op, pass_name : str
    specs : sequence of Spec or None
        Of all operands.
    params : mapping
    candidates : tuple of Candidate
        The rows of the table, in its order.
    chosen : Candidate
    why : str
    """

    op: str
    pass_name: str
    specs: Sequence[Spec | None]
    params: Params
    candidates: tuple[Candidate, ...]
    chosen: Candidate
    why: str

    @property
    def row(self) -> Row:
        """The row that runs the call."""
        return self.chosen.row

    @property
    def text(self) -> str:
        """The call in words: the key under which the choice is recorded."""
        return call_text(self.op, self.pass_name, self.specs, self.params)

    @property
    def named(self) -> bool:
        """Whether the row was named, by the user or by a record."""
        return self.why == NAMED

    @property
    def open(self) -> bool:
        """Whether other fast rows could have been chosen, within the limits or without."""
        return sum(c.supports and not c.plain for c in self.candidates) > 1

    def remark(self, candidate: Candidate) -> str:
        """Why a candidate was chosen, or why it was not."""
        if candidate is self.chosen:
            return self.why
        if candidate.ruled_out:
            return candidate.ruled_out
        if candidate.plain:
            return "only where nothing else is left"
        best = self.chosen
        if best.measured and candidate.measured:
            return f"measured to take {candidate.measured / best.measured:.2f} times as long"
        told = ", so not measured" if best.measured else ""
        if best.predicted and candidate.predicted:
            times = candidate.predicted / best.predicted
            return f"predicted to take {times:.2f} times as long{told}"
        return "stands further down in the table"


def consider(
    op: str, pass_name: str, specs: Sequence[Spec | None], params: Params, policy: Policy = AS_USUAL
) -> Choice:
    """Look at the rows of a pass in view of a call, and choose one.

    Parameters
    ----------
    op, pass_name : str
    specs : sequence of Spec or None
        Of all operands: inputs, updates, outputs.
    params : mapping
    policy : Policy

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        If `compile` was given the name of a row that cannot run this very call, or that a limit
        excludes.
    """
    table = registry.kernels(op, pass_name, device=policy.device)
    candidates = tuple(Candidate(row, specs, params) for row in table)

    def made(chosen: Candidate, why: str) -> Choice:
        return Choice(op, pass_name, specs, params, candidates, chosen, why)

    for c in candidates:
        c.ruled_out = _ruled_out(c, policy)
    if policy.kernels or policy.recorded:
        found = _named(op, pass_name, candidates, policy)
        if found is not None:
            return made(found, NAMED)
    fast = [c for c in candidates if not c.ruled_out and not c.plain]
    if not fast:
        last = next(c for c in candidates if c.plain and not c.ruled_out)
        others = any(c.supports and not c.plain for c in candidates)
        return made(last, "the only one within the limits" if others else "the only one")
    if len(fast) == 1:
        return made(fast[0], "the only fast one")
    if policy.autotune:
        from convkit.ops.choosing.tuning import measure_candidates

        if measure_candidates(op, pass_name, fast):
            timed = [c for c in fast if c.measured is not None]
            return made(min(timed, key=lambda c: c.measured or 0.0), "measured to be the fastest")
    elif fast[0].own:
        return made(fast[0], "registered by the user")
    if all(c.predicted is not None for c in fast):
        return made(min(fast, key=lambda c: c.predicted or 0.0), "predicted to be the fastest")
    return made(fast[0], "first in the table")


def choose(
    op: str,
    pass_name: str,
    specs: Sequence[Spec | None],
    params: Params,
    kernel: str | None = None,
    policy: Policy = AS_USUAL,
) -> Row:
    """The row that runs a call, or the one of that name.

    Raises
    ------
    ValueError
        If the named row does not exist or does not support the call.
    """
    if kernel is None:
        return consider(op, pass_name, specs, params, policy).row
    rows = registry.kernels(op, pass_name, device=registry.device_of(kernel))
    for row in rows:
        if row.name == kernel:
            if not row.supports(specs, params):
                shapes = ", ".join("-" if s is None else f"{s.dtype}{s.shape}" for s in specs)
                raise ValueError(f"[{op}] {pass_name}: {kernel} does not support {shapes}")
            return row
    known = did_you_mean(kernel, [row.name for row in rows])
    raise ValueError(f"[{op}] {pass_name} has no kernel {kernel!r}{known}")


def _named(
    op: str, pass_name: str, candidates: Sequence[Candidate], policy: Policy
) -> Candidate | None:
    """The candidate that is named for the call, if it can be had within the limits.

    Raises
    ------
    ValueError
        If it cannot, and `compile` was given the name.
    """
    specs, params = candidates[0].specs, candidates[0].params
    text = call_text(op, pass_name, specs, params)
    name, for_this = policy.named(op, pass_name, text)
    if name is not None and policy.insists(name) and registry.device_of(name) != policy.device:
        raise ValueError(
            f"[{op}] {pass_name}: kernels names {name!r}, which does not run on {policy.device}; "
            "leave it out, or move the model with to()"
        )
    found = next((c for c in candidates if c.name == name and c.supports), None)
    if found is None and not for_this:
        return None
    told = "no such row supports it here" if found is None else over_limits(found, policy)
    if not told:
        return found
    message = f"[{op}] {pass_name}: kernels names {name!r} for {text}, but {told}"
    if name is not None and policy.insists(name):
        raise ValueError(f"{message}; leave it out of kernels, and one is chosen anew")
    warnings.warn(
        f"{message}; another is chosen, so that results may differ within the error bound",
        UserWarning,
        stacklevel=2,
    )
    return None


def _ruled_out(c: Candidate, policy: Policy) -> str:
    """What keeps a candidate from being chosen, in words."""
    if not c.supports:
        return refusal(c.row, c.specs, c.params)
    if not policy.allows(c.row.precision):
        return f"rounds to {c.row.precision.upper()}, which takes allow_{c.row.precision}=True"
    if not registry.get(c.row.op)[c.row.pass_name].chooses(c.name, c.params, c.specs):
        return "not chosen for such calls unless it is named"
    return over_limits(c, policy)


def over_limits(c: Candidate, policy: Policy) -> str:
    """Which limit a candidate is beyond, in words."""
    if c.name == "reference":
        return ""  # whatever the limits, a call can be run
    if policy.exact and not c.row.exact:
        return "exact: it has an error bound of its own"
    limit = policy.max_error
    if limit is not None and c.error > limit:
        return f"max_error={limit:g}: its error bound is {c.error:.3g} times that of the pass"
    most = policy.max_workspace_mb
    if most is not None and c.workspace_bytes > most * 1e6:
        return f"workspace over {most:g} MB"
    return ""
