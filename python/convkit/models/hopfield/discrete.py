"""The discrete Hopfield network: an associative memory of two-valued neurons."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean
from convkit.models.hopfield.alphabets import ALPHABETS, check_alphabet, to_binary, to_bipolar
from convkit.models.hopfield.arguments import as_states, as_weights, sweep_orders
from convkit.models.hopfield.rules import RULES, Rule
from convkit.ops.apply import apply
from convkit.ops.hopfield import hopfield_params
from convkit.ops.registry import Array
from convkit.saving.estimators import Estimator

__all__ = ["Hopfield", "Recall"]

MODES = ("asynchronous", "synchronous")


@dataclass(frozen=True, eq=False)
class Recall:
    """What `Hopfield.recall` found; the axis B is missing where one probe was given.

    Attributes
    ----------
    states : ndarray, shape (B, n)
        The last states.
    energy : ndarray of float64, shape (T + 1, B)
        Energy at the start and after each of the T sweeps; that of a state which has come to rest
        is repeated.
    sweeps : ndarray of int64, shape (B,)
        Sweeps (synchronous: steps) that were made, the last of which showed that it was over.
    converged : ndarray of bool, shape (B,)
        Whether the state is a fixed point.
    cycle_length : ndarray of int64, shape (B,)
        1 for a fixed point, 2 for a cycle of two states, 0 if neither was reached in `max_sweeps`.
    """

    states: Array
    energy: Array
    sweeps: Array
    converged: Array
    cycle_length: Array


class Hopfield(Estimator):
    """Associative memory of n two-valued neurons with symmetric weights (Hopfield 1982).

    Neuron i sees the field ``h_i = sum_j w_ij s_j - thresholds_i``. An update sets it to the upper
    value where the field is positive, to the lower where it is negative, and leaves it where the
    field is 0. The energy ``-1/2 sum_ij w_ij s_i s_j + sum_i thresholds_i s_i`` never rises when
    neurons are updated one by one, so that each start ends in a fixed point; updates of all at once
    end in a fixed point or in a cycle of two states (Goles, Fogelman and Pellegrin 1985).

    Parameters
    ----------
    n : int
        Number of neurons.
    rule : {"hebb", "pseudo_inverse", "storkey"}
        How `store` makes weights of patterns.
    alphabet : {"bipolar", "binary"}
        Values -1 and 1, or 0 and 1. A binary network is the bipolar one under ``s = 2 v - 1``: its
        weights are 4 times as large and it has thresholds, ``2 sum_j w_ij`` in bipolar weights
        (which Hopfield 1982 leaves out). Fields are twice as large, states and energies the same.
    dtype : {"float32", "float64"}
        In which fields are summed. Hebb's sums are whole numbers and exact below 2**24; with other
        weights, energies are right up to the rounding of their sums.

    Raises
    ------
    TypeError, ValueError
        If an argument is not one of these.

    Examples
    --------
    >>> import convkit as ck
    >>> net = ck.models.Hopfield(4)
    >>> net.store([[1, 1, -1, -1]])
    >>> net.recall([1, 1, -1, 1]).states
    array([ 1.,  1., -1., -1.], dtype=float32)
    """

    def __init__(
        self, n: int, rule: str = "hebb", *, alphabet: str = "bipolar", dtype: str = "float32"
    ) -> None:
        if isinstance(n, bool) or not isinstance(n, int | np.integer):
            raise TypeError(f"[Hopfield] n must be an int, got {n!r}")
        if n < 1:
            raise ValueError(f"[Hopfield] n is {n}, expected at least 1 neuron")
        if rule not in RULES:
            raise ValueError(f"[Hopfield] unknown rule {rule!r}{did_you_mean(rule, RULES)}")
        check_alphabet(alphabet)
        if dtype not in ("float32", "float64"):
            raise ValueError(f"[Hopfield] dtype must be float32 or float64, got {dtype!r}")
        self.n = int(n)
        self.rule: str | None = rule
        self.alphabet = alphabet
        self.dtype = dtype
        # In bipolar values; int8 keeps them small.
        self._patterns: Array = np.zeros((0, self.n), np.int8)
        self._memory: Rule | None = RULES[rule](self.n)
        # Weights and biases are these times the scale, the energy has the offset added.
        self._w: Array = np.zeros((self.n, self.n), dtype)
        self._b: Array | None = None
        self._scale = self._memory.scale
        self._offset = 0.0

    @classmethod
    def from_weights(
        cls,
        weights: ArrayLike,
        thresholds: ArrayLike | None = None,
        *,
        alphabet: str = "bipolar",
        allow_diagonal: bool = False,
        dtype: str = "float32",
    ) -> Hopfield:
        """Make a network of given weights, for example those of an optimisation problem.

        Parameters
        ----------
        weights : array_like, shape (n, n)
            Symmetric.
        thresholds : array_like, shape (n,), optional
            0 by default.
        alphabet, dtype
            As in `Hopfield`; weights and thresholds are taken as they are.
        allow_diagonal : bool
            Accept self-couplings. The energy still never rises if none is negative; else
            asynchronous updates may go on for ever.

        Returns
        -------
        Hopfield
            It stores no patterns.

        Raises
        ------
        ValueError
            If the weights are not square, finite and symmetric, have a diagonal that was not
            allowed, or the thresholds do not fit.
        """
        w, b = as_weights(weights, thresholds, allow_diagonal)
        net = cls(len(w), alphabet=alphabet, dtype=dtype)
        net.rule, net._memory, net._scale = None, None, 1.0
        net._set(w, b, 0.0)
        return net

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "rule": self.rule or "hebb", "alphabet": self.alphabet}

    def _state(self) -> dict[str, Any]:
        memory = {} if self._memory is None else vars(self._memory)
        numbers = {"rule": self.rule, "scale": self._scale, "offset": self._offset}
        return {**numbers, "w": self._w, "b": self._b, "patterns": self._patterns, "memory": memory}

    def _set_state(self, state: dict[str, Any]) -> None:
        memory, n = state["memory"], self.n
        own = {} if self._memory is None else vars(self._memory)
        shapes: list[Any] = [(value, np.shape(own[name])) for name, value in memory.items()]
        shapes += [(state["w"], (n, n)), (np.zeros(n) if state["b"] is None else state["b"], (n,))]
        if any(np.shape(value) != shape for value, shape in shapes):
            raise ValueError(f"Hopfield of {n} neurons: its arrays do not have the shapes")
        self._set(state["w"], state["b"], 0.0)
        self._scale, self._offset = float(state["scale"]), float(state["offset"])
        self._patterns = np.asarray(state["patterns"], np.int8).reshape(-1, n)
        own.update(memory)
        if state["rule"] is None:
            self.rule, self._memory = None, None

    def __repr__(self) -> str:
        origin = "given weights" if self.rule is None else f"{self.rule}, {len(self._patterns)}"
        origin += "" if self.rule is None else " patterns"
        return f"<Hopfield of {self.n} {self.alphabet} neurons, {origin}>"

    @property
    def weights(self) -> Array:
        """Symmetric weights (n, n), a copy."""
        return (self._w * np.float64(self._scale)).astype(self.dtype)

    @property
    def thresholds(self) -> Array:
        """Thresholds (n,), a copy."""
        b = np.zeros(self.n) if self._b is None else self._b
        return (0 - b * np.float64(self._scale)).astype(self.dtype)

    @property
    def patterns(self) -> Array:
        """Patterns stored so far (P, n), in the network's values, a copy."""
        low, high = ALPHABETS[self.alphabet]
        return np.where(self._patterns > 0, high, low).astype(self.dtype)

    def store(self, patterns: ArrayLike) -> None:
        """Store patterns beside those stored before.

        Parameters
        ----------
        patterns : array_like, shape (n,) or (P, n)
            In the network's values.

        Raises
        ------
        RuntimeError
            If the network was made from given weights.
        ValueError
            If the length is not n, or a value is not of the alphabet.
        """
        if self._memory is None:
            raise RuntimeError(
                "[Hopfield] a network of given weights stores no patterns; "
                "make one with Hopfield(n, rule)"
            )
        states, _ = self._states("patterns", patterns)
        x = np.where(states > 0, 1.0, -1.0)
        self._memory.add(x)
        self._patterns = np.concatenate([self._patterns, x.astype(np.int8)])
        self._set(self._memory.matrix, None, 0.0)
        if self.alphabet == "binary":
            self._set(*to_binary(self._memory.matrix, None, 0.0))

    def recall(
        self,
        probes: ArrayLike,
        mode: str = "asynchronous",
        order: str | ArrayLike = "cyclic",
        seed: int | None = None,
        max_sweeps: int = 100,
    ) -> Recall:
        """Let the network run from the probes until nothing changes any more.

        Parameters
        ----------
        probes : array_like, shape (n,) or (B, n)
            States to start from.
        mode : {"asynchronous", "synchronous"}
            One neuron after another, or all at once.
        order : {"cyclic", "random"} or array_like of int
            Of asynchronous updates: from 0 to n - 1, a new permutation in every sweep, or the one
            given, in which each neuron occurs. The same for all probes.
        seed : int, optional
            Of random orders; by default the global seed.
        max_sweeps : int
            Sweeps of n updates, or synchronous steps.

        Returns
        -------
        Recall

        Raises
        ------
        RuntimeError
            If no patterns are stored.
        ValueError
            If an argument is out of its range or a probe is not a state of the network.
        """
        if self._memory is not None and not len(self._patterns):
            raise RuntimeError("[Hopfield] no patterns are stored: call store(patterns) first")
        if mode not in MODES:
            raise ValueError(f"[Hopfield] unknown mode {mode!r}{did_you_mean(mode, MODES)}")
        if max_sweeps < 0:
            raise ValueError(f"[Hopfield] max_sweeps is {max_sweeps}, expected at least 0")
        orders = sweep_orders(order, self.n, seed)
        states, single = self._states("probes", probes)
        count = len(states)
        energy = [self._energy(states)]
        sweeps, cycle = np.zeros(count, np.int64), np.zeros(count, np.int64)
        active = np.arange(count)
        before = np.full_like(states, np.nan)  # the states of one step ago
        while len(active) and len(energy) <= max_sweeps:
            old = states[active]
            new, flips = self._update(old, next(orders) if mode == "asynchronous" else None)
            cycle[active] = flips == 0
            if mode == "synchronous":
                cycle[active[(new == before[active]).all(axis=1) & (flips > 0)]] = 2
                before[active] = old
            states[active] = new
            energy.append(energy[-1].copy())
            energy[-1][active] = self._energy(new)
            sweeps[active] += 1
            active = active[cycle[active] == 0]
        results = (states, np.array(energy).T, sweeps, cycle == 1, cycle)
        if single:
            states, trace, sweeps, converged, cycle = (r[0] for r in results)
            return Recall(states, trace, sweeps, converged, cycle)
        states, trace, sweeps, converged, cycle = results
        return Recall(states, trace.T, sweeps, converged, cycle)

    def energy(self, states: ArrayLike) -> Array:
        """Energy of states (n,) or (B, n): float64 of shape () or (B,).

        Raises
        ------
        ValueError
            If one is not a state of the network.
        """
        array, single = self._states("states", states)
        energy = self._energy(array)
        return np.asarray(energy[0]) if single else energy

    def overlap(self, states: ArrayLike, patterns: ArrayLike | None = None) -> Array:
        """How much states are like patterns: 1 for equal ones, 0 for strangers, -1 for the inverse.

        Parameters
        ----------
        states : array_like, shape (n,) or (B, n)
        patterns : array_like, shape (P, n), optional
            Those stored, by default.

        Returns
        -------
        ndarray of float64, shape (P,) or (B, P)
            ``1/n sum_i x_i s_i`` in values -1 and 1.

        Raises
        ------
        ValueError
            If one is not a state of the network.
        """
        array, single = self._states("states", states)
        known = self._patterns
        if patterns is not None:
            known = np.sign(self._states("patterns", patterns)[0] - 0.5)
        overlap = np.sign(array.astype(np.float64) - 0.5) @ known.T.astype(np.float64) / self.n
        return np.asarray(overlap[0] if single else overlap)

    def as_alphabet(self, alphabet: str) -> Hopfield:
        """Return the same network in other values: its states and energies correspond exactly.

        Parameters
        ----------
        alphabet : {"bipolar", "binary"}

        Returns
        -------
        Hopfield
            A copy, in which weights and thresholds belong to ``s = 2 v - 1`` or its inverse.

        Raises
        ------
        ValueError
            If the alphabet is unknown.
        """
        check_alphabet(alphabet)
        net = copy.deepcopy(self)
        if alphabet != self.alphabet:
            b = None if self._b is None else self._b.astype(np.float64)
            convert = to_binary if alphabet == "binary" else to_bipolar
            net.alphabet = alphabet
            net._set(*convert(self._w.astype(np.float64), b, self._offset / self._scale))
        return net

    # ---- below: in units of the scale

    def _set(self, w: Array, b: Array | None, offset: float) -> None:
        self._w = np.ascontiguousarray(w, self.dtype)
        self._b = None if b is None or not b.any() else np.ascontiguousarray(b, self.dtype)
        self._offset = offset * self._scale

    def _energy(self, states: Array) -> Array:
        (e,) = apply("hopfield", "energy", [self._w, self._b, states], hopfield_params())
        return np.asarray(e * self._scale + self._offset)

    def _update(self, states: Array, order: Array | None) -> tuple[Array, Array]:
        """New states and numbers of flips: of updates in an order, or of all neurons at once."""
        params = hopfield_params(*ALPHABETS[self.alphabet])
        if order is None:
            y, flips = apply("hopfield", "synchronous", [self._w, self._b, states], params)
            return y, flips
        new = states.copy()
        (flips,) = apply("hopfield", "asynchronous", [self._w, self._b, order, new], params)
        return new, flips

    def _states(self, name: str, values: ArrayLike) -> tuple[Array, bool]:
        return as_states(name, values, self.n, self.alphabet, self.dtype)
