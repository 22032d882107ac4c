"""How a Hopfield network stores patterns: Hebb's rule, the projection and Storkey's rule."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from convkit.ops.registry import Array

__all__ = ["RULES", "Hebb", "PseudoInverse", "Rule", "Storkey"]


class Rule(Protocol):
    """Weights between n neurons of values -1 and 1, as a function of the patterns so far.

    The weights are ``matrix * scale``: kept apart so that Hebb's sums stay whole numbers, fields
    are exact and a field of 0 is a tie indeed.

    Attributes
    ----------
    matrix : ndarray of float64, shape (n, n)
        Symmetric, with zeros on the diagonal.
    scale : float
    """

    matrix: Array
    scale: float

    def __init__(self, n: int) -> None: ...

    def add(self, patterns: Array) -> None:
        """Store patterns of -1 and 1, float64 of shape (P, n), beside those before."""


class Hebb:
    """``w_ij = 1/n sum_p x_pi x_pj`` for i != j (Hopfield 1982, equation 2, divided by n).

    Holds about 0.138 n random patterns (Amit, Gutfreund and Sompolinsky 1985).
    """

    def __init__(self, n: int) -> None:
        self.matrix, self.scale = np.zeros((n, n)), 1 / n

    def add(self, patterns: Array) -> None:
        """Add the outer products."""
        self.matrix += patterns.T @ patterns
        np.fill_diagonal(self.matrix, 0)


class PseudoInverse:
    """The projection onto the space of the patterns (Personnaz, Guyon and Dreyfus 1986).

    Every stored pattern is a fixed point, correlated ones too, up to n - 1 that are linearly
    independent. The diagonal of the projection is left out of the weights: a pattern's own field
    stays on its side, since the diagonal is less than 1.
    """

    def __init__(self, n: int) -> None:
        self.matrix, self.scale = np.zeros((n, n)), 1.0
        self._projection = np.zeros((n, n))

    def add(self, patterns: Array) -> None:
        """Extend the space by what of the patterns lies outside it."""
        outside = patterns - patterns @ self._projection
        outside -= outside @ self._projection  # once more: the first left rounding errors
        _, size, basis = np.linalg.svd(outside, full_matrices=False)
        new = basis[size > 1e-6 * np.sqrt(patterns.shape[1])]
        self._projection += new.T @ new
        self.matrix = (self._projection + self._projection.T) / 2
        np.fill_diagonal(self.matrix, 0)


class Storkey:
    """Storkey's rule (1997): local and incremental as Hebb's, with a larger capacity.

    ``w_ij += (x_i x_j - x_i h_ji - h_ij x_j) / n`` for i != j, where ``h_ij`` is the field of
    neuron i without what comes from i and j. One pattern after another: the order counts.
    """

    def __init__(self, n: int) -> None:
        self.matrix, self.scale = np.zeros((n, n)), 1.0

    def add(self, patterns: Array) -> None:
        """Add pattern by pattern."""
        w, n = self.matrix, patterns.shape[1]
        for x in patterns:
            # h_ij = g_i - w_ij x_j, and x_j x_j = 1.
            g = w @ x
            cross = np.outer(g, x)
            w += (np.outer(x, x) - (cross + cross.T) + 2 * w) / n  # symmetric to the last bit
            np.fill_diagonal(w, 0)


RULES: dict[str, type[Rule]] = {
    "hebb": Hebb,
    "pseudo_inverse": PseudoInverse,
    "storkey": Storkey,
}
