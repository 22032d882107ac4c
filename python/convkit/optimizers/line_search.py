"""Line searches: how far to go along a direction, so that the loss never rises.

Along the ray from w in the direction p the loss is a function of one number,
``phi(t) = f(w + t p)``. A search looks for a t at which it is lower than ``phi(0)``.

References
----------
Brent (1973), Algorithms for Minimization without Derivatives, chapter 5.
Nocedal and Wright (2006), Numerical Optimization, 2nd edition, chapter 3.
More and Thuente (1994), Line search algorithms with guaranteed sufficient decrease.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from convkit.checks import number, whole
from convkit.errors import did_you_mean
from convkit.optimizers.line import Line
from convkit.saving.config import Configured

__all__ = ["Backtracking", "Brent", "GoldenSection", "LineSearch", "StrongWolfe", "get"]

GOLDEN = (math.sqrt(5) - 1) / 2
SHRINK = 10.0  # where the loss is no number, the step is this many times too long


class LineSearch(Configured):
    """Base of the line searches; a subclass defines `__call__`.

    Attributes
    ----------
    growth : float
        How many times the last step the next one's first trial is, where nothing better is known.
    slopes : bool
        Whether it takes the gradient at each trial, and so keeps the one at the lowest.
    """

    growth = 1.0
    slopes = False

    def __call__(self, line: Line, first: float) -> float:
        """Find a step that lowers the loss.

        Parameters
        ----------
        line : Line
            With ``slope0 < 0``.
        first : float
            Step to try first.

        Returns
        -------
        float
            0 where there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define __call__()")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k[0] != "_")
        return f"{type(self).__name__}({arguments})"


class Backtracking(LineSearch):
    """Halve the step until the loss falls enough (Armijo 1966; Nocedal and Wright, algorithm 3.1).

    Enough is ``phi(t) <= phi(0) + sufficient_decrease t phi'(0)``.

    Parameters
    ----------
    sufficient_decrease : float
        Between 0 and 1.
    shrink : float
        Factor between one step and the next, between 0 and 1.
    max_evaluations : int
    """

    growth = 2.0  # a search that only ever shrinks could not recover

    def __init__(
        self, sufficient_decrease: float = 1e-4, shrink: float = 0.5, max_evaluations: int = 60
    ) -> None:
        owner = type(self).__name__
        self.sufficient_decrease = number(
            owner, "sufficient_decrease", sufficient_decrease, above=0, below=1
        )
        self.shrink = number(owner, "shrink", shrink, above=0, below=1)
        self.max_evaluations = whole(owner, "max_evaluations", max_evaluations, 1)

    def __call__(self, line: Line, first: float) -> float:
        t = first
        for _ in range(self.max_evaluations):
            if not line.moves(t):
                return 0.0
            if line.loss(t) <= line.loss0 + self.sufficient_decrease * t * line.slope0:
                return t
            t *= self.shrink
        return 0.0


class Bracket(NamedTuple):
    """Steps a < b < c with phi(b) below phi(a) and not above phi(c); c is infinite if unbounded."""

    a: float
    b: float
    c: float
    loss_a: float
    loss_b: float
    loss_c: float


def bracket(line: Line, first: float, max_evaluations: int) -> Bracket | None:
    """Enclose a minimum: go on in growing steps while the loss falls, or back until it is lower.

    Returns
    -------
    Bracket or None
        None where no step lowers the loss.
    """
    t, loss = first, line.loss(first)
    a, loss_a = 0.0, line.loss0
    if loss < line.loss0:
        b, loss_b = t, loss
        for _ in range(max_evaluations):
            c = b + (b - a) / GOLDEN
            loss_c = line.loss(c)
            if loss_c >= loss_b:
                return Bracket(a, b, c, loss_a, loss_b, loss_c)
            a, b, loss_a, loss_b = b, c, loss_b, loss_c
        return Bracket(a, b, math.inf, loss_a, loss_b, math.inf)
    for _ in range(max_evaluations):
        c, loss_c = t, loss
        # The minimum of the parabola through phi(0), phi'(0) and phi(c).
        rise = loss_c - line.loss0 - line.slope0 * c
        guess = -line.slope0 * c * c / (2 * rise) if rise > 0 else c / SHRINK
        t = min(max(guess, c / SHRINK), c / 2)
        if not line.moves(t):
            return None
        loss = line.loss(t)
        if loss < line.loss0:
            return Bracket(a, t, c, loss_a, loss, loss_c)
    return None


class GoldenSection(LineSearch):
    """Cut the bracket of a minimum by the golden section (Kiefer 1953) until it is narrow.

    Parameters
    ----------
    tolerance : float
        Width of the bracket, relative to the step, at which it is narrow.
    max_evaluations : int
        Of each half of the search, enclosing and cutting.
    """

    def __init__(self, tolerance: float = 1e-2, max_evaluations: int = 60) -> None:
        owner = type(self).__name__
        self.tolerance = number(owner, "tolerance", tolerance, above=0, below=1)
        self.max_evaluations = whole(owner, "max_evaluations", max_evaluations, 1)

    def __call__(self, line: Line, first: float) -> float:
        found = bracket(line, first, self.max_evaluations)
        if found is None:
            return 0.0
        a, b, c, _, lowest, _ = found
        if math.isinf(c):
            return b
        for _ in range(self.max_evaluations):
            if c - a <= self.tolerance * b:
                break
            right = c - b > b - a
            t = b + (1 - GOLDEN) * (c - b) if right else b - (1 - GOLDEN) * (b - a)
            loss = line.loss(t)
            if loss < lowest:
                a, c = (b, c) if right else (a, b)
                b, lowest = t, loss
            elif right:
                c = t
            else:
                a = t
        return b


class Brent(LineSearch):
    """Parabolic interpolation, guarded by the golden section (Brent 1973, procedure localmin).

    Parameters
    ----------
    tolerance : float
        Of the step, relative. The loss alone cannot tell a step from its neighbours below about
        the square root of the rounding error, 1e-8 in float64.
    max_evaluations : int
        Of each half of the search, enclosing and interpolating.
    """

    def __init__(self, tolerance: float = 1e-3, max_evaluations: int = 60) -> None:
        owner = type(self).__name__
        self.tolerance = number(owner, "tolerance", tolerance, above=0, below=1)
        self.max_evaluations = whole(owner, "max_evaluations", max_evaluations, 1)

    def __call__(self, line: Line, first: float) -> float:
        found = bracket(line, first, self.max_evaluations)
        if found is None:
            return 0.0
        if math.isinf(found.c):
            return found.b
        a, x, c, loss_a, loss_x, loss_c = found
        # x is the lowest step so far, w the one above it, v the w of before.
        w, loss_w, v, loss_v = a, loss_a, c, loss_c
        if loss_c < loss_a:
            w, loss_w, v, loss_v = v, loss_v, w, loss_w
        move = before = c - a  # the last move, and the one before it
        for _ in range(self.max_evaluations):
            middle, tol = (a + c) / 2, self.tolerance * abs(x)
            if abs(x - middle) <= 2 * tol - (c - a) / 2:
                break
            guess = _parabola(x, w, v, loss_x, loss_w, loss_v)
            if abs(before) > tol and a < guess < c and abs(guess - x) < abs(before) / 2:
                before, move = move, guess - x
                if guess - a < 2 * tol or c - guess < 2 * tol:
                    move = math.copysign(tol, middle - x)
            else:
                before = (c if x < middle else a) - x
                move = (1 - GOLDEN) * before
            t = x + (move if abs(move) >= tol else math.copysign(tol, move))
            loss = line.loss(t)
            if loss <= loss_x:
                a, c = (a, x) if t < x else (x, c)
                v, loss_v, w, loss_w, x, loss_x = w, loss_w, x, loss_x, t, loss
                continue
            a, c = (t, c) if t < x else (a, t)
            if loss <= loss_w or w == x:
                v, loss_v, w, loss_w = w, loss_w, t, loss
            elif loss <= loss_v or v in (x, w):
                v, loss_v = t, loss
        return x


def _parabola(x: float, w: float, v: float, loss_x: float, loss_w: float, loss_v: float) -> float:
    """Where the parabola through three points has its extremum; NaN where there is none."""
    r = (x - w) * (loss_x - loss_v)
    q = (x - v) * (loss_x - loss_w)
    p = (x - v) * q - (x - w) * r
    q = 2 * (q - r)
    return x - p / q if q and math.isfinite(p) and math.isfinite(q) else math.nan


class StrongWolfe(LineSearch):
    """A step that meets the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5 and 3.6).

    The loss falls enough, ``phi(t) <= phi(0) + sufficient_decrease t phi'(0)``, and has become
    flat, ``|phi'(t)| <= curvature |phi'(0)|``. Steps come from cubic interpolation (equation 3.59)
    and are halved where it does not narrow the interval fast enough (More and Thuente 1994).

    Parameters
    ----------
    sufficient_decrease : float
    curvature : float
        Above `sufficient_decrease` and below 1. Small values search long and exactly: 0.9 suits
        quasi-Newton methods, 0.1 and less conjugate gradients.
    max_evaluations : int
        When they are used up, the lowest step found is taken.
    """

    slopes = True

    def __init__(
        self,
        sufficient_decrease: float = 1e-4,
        curvature: float = 0.9,
        max_evaluations: int = 25,
    ) -> None:
        owner = type(self).__name__
        self.sufficient_decrease = number(
            owner, "sufficient_decrease", sufficient_decrease, above=0, below=1
        )
        self.curvature = number(owner, "curvature", curvature, above=0, below=1)
        self.max_evaluations = whole(owner, "max_evaluations", max_evaluations, 1)

    def __call__(self, line: Line, first: float) -> float:
        before, t = _Trial(0.0, line.loss0, line.slope0), first
        for n in range(self.max_evaluations):
            trial = _Trial(t, *line.slope(t))
            left = self.max_evaluations - n - 1
            if not self._falls_enough(line, trial) or (n and trial.loss >= before.loss):
                return self._zoom(line, before, trial, left)
            if self._is_flat(line, trial):
                return t
            if trial.slope >= 0:
                return self._zoom(line, trial, before, left)
            width = t - before.t
            guess = _cubic(before, trial)
            far = t + 9 * width
            t = min(max(guess, t + width / 10), far) if math.isfinite(guess) else far
            before = trial
        return before.t

    def _falls_enough(self, line: Line, trial: _Trial) -> bool:
        return trial.loss <= line.loss0 + self.sufficient_decrease * trial.t * line.slope0

    def _is_flat(self, line: Line, trial: _Trial) -> bool:
        return abs(trial.slope) <= -self.curvature * line.slope0

    def _zoom(self, line: Line, low: _Trial, high: _Trial, left: int) -> float:
        """Narrow an interval that holds good steps; `low` is the lowest step that falls enough."""
        widths = [abs(high.t - low.t)] * 2
        for _ in range(left):
            width = high.t - low.t
            guess = _cubic(low, high)
            if not math.isfinite(high.loss):
                t = low.t + width / SHRINK
            elif abs(width) > 0.66 * widths[-2] and len(widths) > 3:
                t = low.t + width / 2
            elif math.isfinite(guess) and 1e-3 <= (guess - low.t) / width <= 1 - 1e-3:
                t = guess
            else:
                t = low.t + width / 2
            if t in (low.t, high.t) or not line.moves(t):
                break
            trial = _Trial(t, *line.slope(t))
            if not self._falls_enough(line, trial) or trial.loss >= low.loss:
                high = trial
            else:
                if self._is_flat(line, trial):
                    return t
                if trial.slope * width >= 0:
                    high = low
                low = trial
            widths.append(abs(high.t - low.t))
        return low.t


class _Trial(NamedTuple):
    t: float
    loss: float
    slope: float


def _cubic(one: _Trial, other: _Trial) -> float:
    """The minimum of the cubic through two losses and slopes (Nocedal and Wright, eq. 3.59)."""
    width = other.t - one.t
    if not width or not math.isfinite(one.loss + other.loss + one.slope + other.slope):
        return math.nan
    d1 = one.slope + other.slope - 3 * (one.loss - other.loss) / (one.t - other.t)
    square = d1 * d1 - one.slope * other.slope
    if not 0 <= square < math.inf:
        return math.nan
    d2 = math.copysign(math.sqrt(square), width)
    bottom = other.slope - one.slope + 2 * d2
    return other.t - width * (other.slope + d2 - d1) / bottom if bottom else math.nan


NAMES: dict[str, Callable[[], LineSearch]] = {
    "brent": Brent,
    "golden_section": GoldenSection,
    "armijo": Backtracking,
    "backtracking": Backtracking,
    "wolfe": StrongWolfe,
    "strong_wolfe": StrongWolfe,
}


def get(identifier: str | LineSearch) -> LineSearch:
    """Return a line search by name or object.

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest one.
    TypeError
        If it is neither a name nor a line search.
    """
    if isinstance(identifier, LineSearch):
        return identifier
    if isinstance(identifier, str):
        if identifier in NAMES:
            return NAMES[identifier]()
        raise ValueError(f"unknown line search {identifier!r}{did_you_mean(identifier, NAMES)}")
    raise TypeError(
        "line_search must be a name or an object of ck.optimizers.line_search, not "
        f"{type(identifier).__name__}"
    )
