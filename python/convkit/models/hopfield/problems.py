"""Problems as energies: the travelling salesman and the queens on n**2 neurons."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean
from convkit.models.arguments import count
from convkit.models.hopfield.continuous import ContinuousHopfield
from convkit.ops.registry import Array
from convkit.random import generator

__all__ = [
    "QueensResult",
    "TSPResult",
    "anneal",
    "hopfield_queens",
    "hopfield_tank_network",
    "hopfield_tsp",
    "queens_network",
    "tsp_network",
]


@dataclass(frozen=True, eq=False)
class TSPResult:
    """Tours that `hopfield_tsp` found, one per start.

    Attributes
    ----------
    valid : ndarray of bool, shape (R,)
        Where the outputs are a permutation of the cities.
    tours : ndarray of int64, shape (R, n)
        Cities in the order of the visits; -1 where invalid.
    lengths : ndarray of float64, shape (R,)
        Of the closed tours; infinite where invalid.
    """

    valid: Array
    tours: Array
    lengths: Array

    @property
    def success_rate(self) -> float:
        """Share of the starts that ended in a tour."""
        return float(self.valid.mean())

    @property
    def tour(self) -> Array | None:
        """The shortest tour, None if there is none."""
        return self.tours[self.lengths.argmin()] if self.valid.any() else None

    @property
    def length(self) -> float:
        """Length of the shortest tour."""
        return float(self.lengths.min())


@dataclass(frozen=True, eq=False)
class QueensResult:
    """Boards that `hopfield_queens` found, one per start.

    Attributes
    ----------
    valid : ndarray of bool, shape (R,)
        Where n queens stand and none attacks another.
    boards : ndarray of bool, shape (R, n, n)
        Where queens stand, in valid and invalid results.
    """

    valid: Array
    boards: Array

    @property
    def success_rate(self) -> float:
        """Share of the starts that ended in a solution."""
        return float(self.valid.mean())

    @property
    def solutions(self) -> Array:
        """The distinct solutions: columns of the queens of rows 0 to n - 1, int64 (S, n)."""
        columns = self.boards[self.valid].argmax(axis=2)
        return np.asarray(np.unique(columns, axis=0), np.int64)


def _assignment(n: int, a: float, b: float) -> tuple[Array, float]:
    """Weights and current of ``a/2 sum_x (sum_i v_xi - 1)^2 + b/2 sum_i (sum_x v_xi - 1)^2``."""
    one, every = np.eye(n), np.ones((n, n))
    return -a * np.kron(one, every) - b * np.kron(every, one), a + b


def _tour_weights(distances: Array) -> Array:
    """Weights of ``-1/2 sum d_xy v_xi (v_y,i+1 + v_y,i-1)``: cities x and y in neighbouring places.

    In three places, the one after and the one before are neighbours as well.
    """
    one = np.eye(len(distances))
    return np.asarray(np.kron(distances, np.roll(one, 1, axis=1) + np.roll(one, -1, axis=1)))


def tsp_network(
    distances: ArrayLike, *, a: float = 1.0, b: float = 1.0, d: float = 0.5, gain: float = 1.0
) -> ContinuousHopfield:
    """Network whose energy is that of a tour: neuron ``x n + i`` says that city x is visited i-th.

    ``a/2 sum_x (sum_i v_xi - 1)^2 + b/2 sum_i (sum_x v_xi - 1)^2
    + d/2 sum_xy,i d_xy v_xi (v_y,i+1 + v_y,i-1)``, up to a constant, with the distances divided by
    their maximum: Hopfield and Tank's (1985) terms A, B, C in the form of Brandt, Wang, Laub and
    Mitra (1988), for which every tour has the same constraint energy of 0. There is no decay.

    Parameters
    ----------
    distances : array_like, shape (n, n)
        Symmetric, not negative, 0 on the diagonal; n >= 3.
    a, b : float
        Price of a city that is not visited once, and of a place that does not hold one city.
    d : float
        Price of the distance. Above a and b, leaving a city out can pay.
    gain : float

    Returns
    -------
    ContinuousHopfield
        For `anneal`.

    Raises
    ------
    ValueError
        If the distances are not such.
    """
    dist = _check_distances(distances)
    w, current = _assignment(len(dist), a, b)
    w -= d * _tour_weights(dist / dist.max())
    currents = np.full(len(w), current)
    return ContinuousHopfield(w, currents, resistance=math.inf, gain=gain)


def hopfield_tank_network(
    distances: ArrayLike,
    *,
    a: float = 500.0,
    b: float = 500.0,
    c: float = 200.0,
    d: float = 500.0,
    n_hat: float | None = None,
    u0: float = 0.02,
) -> ContinuousHopfield:
    """Network of Hopfield and Tank (1985), with the parameters of that paper.

    ``a/2 sum_x sum_i!=j v_xi v_xj + b/2 sum_i sum_x!=y v_xi v_yi + c/2 (sum v - n_hat)^2
    + d/2 sum_xy,i d_xy v_xi (v_y,i+1 + v_y,i-1)``, decay with RC = 1, outputs
    ``(1 + tanh(u / u0)) / 2``.

    Parameters
    ----------
    distances : array_like, shape (n, n)
        As in `tsp_network`; taken as they are (the paper's cities lie in a unit square).
    a, b, c, d, u0 : float
    n_hat : float, optional
        By default 1.5 n, as the paper's 15 for 10 cities.

    Returns
    -------
    ContinuousHopfield

    Raises
    ------
    ValueError
        As `tsp_network`.
    """
    dist = _check_distances(distances)
    n = len(dist)
    w, _ = _assignment(n, a, b)
    w += (a + b) * np.eye(n * n) - c - d * _tour_weights(dist)
    target = 1.5 * n if n_hat is None else n_hat
    return ContinuousHopfield(w, np.full(n * n, c * target), gain=2 / u0)


def queens_network(
    n: int, *, a: float = 1.0, d: float = 1.0, gain: float = 1.0
) -> ContinuousHopfield:
    """Network whose energy counts what is wrong with queens on an n x n board.

    ``a/2 sum_rows (sum v - 1)^2 + a/2 sum_columns (sum v - 1)^2 + d/2 sum v v'`` over ordered pairs
    of different fields on a diagonal, up to a constant; 0 for a solution and for nothing else.

    Parameters
    ----------
    n : int
        At least 4: smaller boards have no solution, or no problem.
    a, d, gain : float

    Returns
    -------
    ContinuousHopfield
        For `anneal`; neuron ``row n + column``.

    Raises
    ------
    ValueError
        If n is less than 4.
    """
    n = count("queens", "n", n, None)
    if n < 4:
        raise ValueError(f"[queens] n is {n}, expected at least 4: 2 and 3 have no solution")
    w, current = _assignment(n, a, a)
    row, column = np.divmod(np.arange(n * n), n)
    down, up = row - column, row + column
    attack = (down[:, None] == down) | (up[:, None] == up)
    np.fill_diagonal(attack, False)
    return ContinuousHopfield(
        w - d * attack, np.full(n * n, current), resistance=math.inf, gain=gain
    )


def anneal(
    network: ContinuousHopfield,
    restarts: int,
    *,
    strength: tuple[float, float] = (0.0, 2.5),
    stages: int = 30,
    duration: float = 750.0,
    noise: float = 0.1,
    mean: float = 0.5,
    seed: int | None = None,
) -> Array:
    """Push a network from the middle of the cube into a corner, slowly.

    The energy has ``c/2 sum v (1 - v)`` added, which is 0 in the corners: c rises in equal steps,
    so that minima move outwards from where the energy is still convex. (Hysteretic annealing,
    Eberhardt et al. 1991; it takes the place of a rising gain.)

    Parameters
    ----------
    network : ContinuousHopfield
        With sigmoid neurons.
    restarts : int
        Starts, simulated side by side.
    strength : (float, float)
        First and last c.
    stages : int
        Values of c.
    duration : float
        Time in all.
    noise : float
        Standard deviation of the first inputs about those that give the outputs `mean`.
    mean : float
    seed : int, optional
        By default the global seed.

    Returns
    -------
    ndarray, shape (restarts, n)
        The last outputs.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """
    restarts = count("anneal", "restarts", restarts, None)
    stages = count("anneal", "stages", stages, None)
    if not (0 < duration < math.inf and 0 <= noise < math.inf):
        raise ValueError(
            "[anneal] duration positive and noise not negative are expected, and finite, got "
            f"{duration} and {noise}"
        )
    if network.activation != "sigmoid":
        raise ValueError("[anneal] expected sigmoid neurons, whose outputs lie between 0 and 1")
    rng = generator(seed)
    u = network.inputs(np.full(network.n, mean))
    u = u + noise * rng.standard_normal((restarts, network.n))
    for c in np.linspace(*strength, stages):
        stage = ContinuousHopfield(
            network.weights + c * np.eye(network.n),
            network.currents - c / 2,
            capacitance=network.capacitance,
            resistance=network.resistance,
            gain=network.gain,
        )
        steps = math.ceil(duration / stages / stage.stable_dt())
        for _ in range(steps):
            u = stage.step(u, duration / stages / steps, "euler")
    return network.outputs(u)


def hopfield_tsp(
    distances: ArrayLike,
    *,
    restarts: int = 50,
    method: str = "annealed",
    duration: float | None = None,
    seed: int | None = None,
) -> TSPResult:
    """Find short closed tours through all cities with a Hopfield network (Hopfield and Tank 1985).

    Parameters
    ----------
    distances : array_like, shape (n, n)
        Symmetric, not negative, 0 on the diagonal; n >= 3.
    restarts : int
        Starts, simulated side by side.
    method : {"annealed", "hopfield_tank"}
        `tsp_network` under `anneal`, which nearly always ends in a tour; or
        `hopfield_tank_network` with the paper's parameters and start, which often does not
        (Wilson and Pawley 1988).
    duration : float, optional
        Time to simulate: by default 750, or 0.02 of the paper's RC, when outputs have settled.
    seed : int, optional
        Of the starts; by default the global seed.

    Returns
    -------
    TSPResult

    Raises
    ------
    ValueError
        If the distances are not such, or the method is unknown.
    """
    dist = _check_distances(distances)
    restarts = count("hopfield_tsp", "restarts", restarts, None)
    n = len(dist)
    if method == "annealed":
        network = tsp_network(dist)
        v = anneal(
            network,
            restarts,
            duration=750.0 if duration is None else duration,
            mean=1 / n,
            seed=seed,
        )
    elif method == "hopfield_tank":
        network = hopfield_tank_network(dist)
        u0 = 2 / network.gain
        # The paper's start: sum v = n, and uniform noise of a tenth of u0 against the symmetry.
        noise = generator(seed).uniform(-0.1 * u0, 0.1 * u0, (restarts, n * n))
        u = network.inputs(np.full(n * n, 1 / n)) + noise
        dt = network.stable_dt()
        time = 0.02 if duration is None else duration
        for _ in range(math.ceil(time / dt)):
            u = network.step(u, dt, "euler")
        v = network.outputs(u)
    else:
        known = did_you_mean(method, ("annealed", "hopfield_tank"))
        raise ValueError(f"[hopfield_tsp] unknown method {method!r}{known}")
    visits = v.reshape(-1, n, n) > 0.5  # start, city, place
    valid = (visits.sum(axis=1) == 1).all(axis=1) & (visits.sum(axis=2) == 1).all(axis=1)
    tours = np.where(valid[:, None], visits.argmax(axis=1), -1)
    lengths = dist[tours, np.roll(tours, -1, axis=1)].sum(axis=1)
    return TSPResult(valid, tours, np.where(valid, lengths, np.inf))


def hopfield_queens(
    n: int, *, restarts: int = 50, duration: float = 750.0, seed: int | None = None
) -> QueensResult:
    """Place n queens on an n x n board, none of which attacks another, by a Hopfield network.

    Parameters
    ----------
    n : int
        At least 4.
    restarts : int
        Starts, simulated side by side.
    duration : float
        Time to simulate.
    seed : int, optional
        Of the starts; by default the global seed.

    Returns
    -------
    QueensResult

    Raises
    ------
    ValueError
        If n is less than 4.
    """
    n = count("hopfield_queens", "n", n, None)
    network = queens_network(n)
    v = anneal(network, restarts, duration=duration, noise=1.0, mean=1 / n, seed=seed)
    boards = v.reshape(-1, n, n) > 0.5
    row, column = np.indices((n, n))
    valid = (boards.sum(axis=1) == 1).all(axis=1) & (boards.sum(axis=2) == 1).all(axis=1)
    for lines in (row - column, row + column):
        for k in np.unique(lines):
            valid &= boards[:, lines == k].sum(axis=1) <= 1
    return QueensResult(valid, boards)


def _check_distances(distances: ArrayLike) -> Array:
    d = np.array(distances, np.float64)
    if d.ndim != 2 or d.shape[0] != d.shape[1] or len(d) < 3:
        raise ValueError(f"[tsp] distances have shape {d.shape}, expected (n, n) with n >= 3")
    if not (np.isfinite(d).all() and (d >= 0).all() and (d == d.T).all()):
        raise ValueError("[tsp] distances must be finite, symmetric and not negative")
    if np.diagonal(d).any() or not d.any():
        raise ValueError("[tsp] distances must be 0 on the diagonal and not 0 elsewhere")
    return d
