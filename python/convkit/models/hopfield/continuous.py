"""The continuous Hopfield network: neurons of graded response in continuous time."""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean
from convkit.ops.hopfield import check_symmetric
from convkit.ops.registry import Array
from convkit.saving.estimators import Estimator

__all__ = ["METHODS", "ContinuousHopfield", "Trajectory"]

# Integrators, with the largest step in units of RC at which the decay of a neuron is stable: where
# the amplification of du/dt = -u/RC stays below 1.
METHODS = {"euler": 2.0, "rk4": 2.785}


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What `ContinuousHopfield.simulate` saw; the axis B is missing where one state was given.

    Attributes
    ----------
    t : ndarray, shape (T,)
        Times, from 0.
    u, v : ndarray, shape (T, B, n)
        Inputs and outputs of the neurons.
    energy : ndarray, shape (T, B)
    settled : bool
        Whether it ended because every ``|du/dt|`` was below the tolerance.
    """

    t: Array
    u: Array
    v: Array
    energy: Array
    settled: bool


class ContinuousHopfield(Estimator):
    r"""n neurons of graded response that move downhill in an energy (Hopfield 1984).

    Equation 5 of the paper, with inputs u, outputs v and input currents I:

    ``C_i du_i/dt = sum_j w_ij v_j - u_i / R_i + I_i``, ``v_i = g(u_i)``,

    where g is ``1 / (1 + exp(-gain u))`` ("sigmoid", outputs in (0, 1)) or ``tanh(gain u)``
    ("tanh", outputs in (-1, 1)). With symmetric weights the energy (equation 7)

    ``E = -1/2 sum_ij w_ij v_i v_j - sum_i I_i v_i + sum_i (1 / R_i) integral_0^v_i g^-1(x) dx``

    never rises: ``dE/dt = -sum_i C_i g'(u_i) (du_i/dt)^2``. All numbers are float64.

    Parameters
    ----------
    weights : array_like, shape (n, n)
        Symmetric conductances.
    currents : array_like, shape (n,), optional
        Input currents I; 0 by default.
    capacitance, resistance : float or array_like of shape (n,)
        C and R, positive. An infinite R takes the decay and the integral away.
    gain : float
        Positive; the steeper g is, the nearer the minima of E are to corners of the cube.
    activation : {"sigmoid", "tanh"}

    Raises
    ------
    ValueError
        If the weights are not square, finite and symmetric, another array does not fit, or a
        number is not positive.

    Examples
    --------
    >>> import convkit as ck
    >>> net = ck.models.ContinuousHopfield([[0, 2], [2, 0]], gain=4, activation="tanh")
    >>> net.simulate([0.1, 0.2], duration=20).v[-1].round(3)
    array([1., 1.])
    """

    def __init__(
        self,
        weights: ArrayLike,
        currents: ArrayLike | None = None,
        *,
        capacitance: ArrayLike = 1.0,
        resistance: ArrayLike = 1.0,
        gain: float = 1.0,
        activation: str = "sigmoid",
    ) -> None:
        w = np.array(weights, np.float64)
        if w.ndim != 2 or w.shape[0] != w.shape[1] or not len(w):
            raise ValueError(f"[ContinuousHopfield] weights have shape {w.shape}, expected (n, n)")
        if not np.isfinite(w).all():
            raise ValueError("[ContinuousHopfield] weights contain NaN or infinity")
        check_symmetric(w)
        if activation not in ("sigmoid", "tanh"):
            known = did_you_mean(activation, ("sigmoid", "tanh"))
            raise ValueError(f"[ContinuousHopfield] unknown activation {activation!r}{known}")
        if not 0 < gain < math.inf:
            raise ValueError(f"[ContinuousHopfield] gain is {gain}, expected a positive number")
        self.weights = w
        self.currents = self._vector("currents", 0.0 if currents is None else currents)
        if not np.isfinite(self.currents).all():
            raise ValueError("[ContinuousHopfield] currents contain NaN or infinity")
        self.capacitance = self._vector("capacitance", capacitance, positive=True)
        self.resistance = self._vector("resistance", resistance, positive=True)
        self.gain = float(gain)
        self.activation = activation

    @property
    def n(self) -> int:
        """Number of neurons."""
        return len(self.weights)

    def outputs(self, u: ArrayLike) -> Array:
        """Outputs ``g(u)``."""
        x = self.gain * np.asarray(u, np.float64)
        # The sigmoid by way of tanh: it neither overflows nor loses its small values' sum to 1.
        return np.asarray(np.tanh(x) if self.activation == "tanh" else (1 + np.tanh(x / 2)) / 2)

    def inputs(self, v: ArrayLike) -> Array:
        """Inputs ``g^-1(v)``, infinite at the ends of the range.

        Raises
        ------
        ValueError
            If an output is outside the range of the activation.
        """
        v = np.asarray(v, np.float64)
        x = v if self.activation == "tanh" else 2 * v - 1
        if not (np.abs(x) <= 1).all():
            low = -1 if self.activation == "tanh" else 0
            raise ValueError(f"[ContinuousHopfield] outputs must lie in [{low}, 1]")
        with np.errstate(divide="ignore"):
            u = np.arctanh(x) / self.gain
        return np.asarray(u if self.activation == "tanh" else 2 * u)

    def derivative(self, u: ArrayLike) -> Array:
        """``du/dt`` for inputs (n,) or (B, n)."""
        u = np.asarray(u, np.float64)
        drive = self.outputs(u) @ self.weights + self.currents
        return np.asarray((drive - u / self.resistance) / self.capacitance)

    def energy(self, u: ArrayLike) -> Array:
        """Energy of inputs (n,) or (B, n): float64 of shape () or (B,)."""
        u = self._states(u)
        v = self.outputs(u)
        quadratic = ((v @ self.weights / 2 + self.currents) * v).sum(axis=-1)
        return np.asarray((self._integral(u) / self.resistance).sum(axis=-1) - quadratic)

    def stable_dt(self) -> float:
        """Return a step at which Euler's method follows the flow downhill.

        The reciprocal of a bound of the largest rate, ``1/RC + |w| max g' / C``, with the spectral
        norm of the weights.
        """
        slope = self.gain / (4 if self.activation == "sigmoid" else 1)
        rates = (1 / self.resistance + self._norm * slope) / self.capacitance
        return float(1 / rates.max()) if rates.max() > 0 else math.inf

    def step(self, u: ArrayLike, dt: float, method: str = "rk4") -> Array:
        """Inputs (n,) or (B, n) a time `dt` later, by one step of an integrator.

        Parameters
        ----------
        u : array_like
        dt : float
        method : {"euler", "rk4"}
            Euler's method, of order 1, or the classical Runge-Kutta method of order 4.

        Returns
        -------
        ndarray of u's shape

        Raises
        ------
        ValueError
            If the method is unknown, or the step so large that the decay would grow instead.
        """
        self._check_step(dt, method)
        u = self._states(u)
        k1 = self.derivative(u)
        if method == "euler":
            return np.asarray(u + dt * k1)
        k2 = self.derivative(u + dt / 2 * k1)
        k3 = self.derivative(u + dt / 2 * k2)
        k4 = self.derivative(u + dt * k3)
        return np.asarray(u + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4))

    def simulate(
        self,
        u: ArrayLike,
        duration: float,
        *,
        dt: float | None = None,
        method: str = "rk4",
        tolerance: float = 0.0,
        record_every: int = 1,
    ) -> Trajectory:
        """Integrate from inputs u.

        Parameters
        ----------
        u : array_like, shape (n,) or (B, n)
            Inputs at time 0; `inputs` makes them of outputs.
        duration : float
            How long, in units of time; the last step is the first that reaches it.
        dt : float, optional
            Step; by default `stable_dt`.
        method : {"euler", "rk4"}
        tolerance : float
            Stop where every ``|du/dt|`` is below; 0: never.
        record_every : int
            Keep every so many steps, and the last.

        Returns
        -------
        Trajectory

        Raises
        ------
        ValueError
            If a shape or number does not fit, or `dt` is so large that the decay would grow.

        Warns
        -----
        RuntimeWarning
            If the energy rose, because `dt` is too large for the weights and the gain.
        """
        states = self._states(u)
        if not 0 < duration < math.inf:
            raise ValueError(
                f"[ContinuousHopfield] duration is {duration}, expected a positive number"
            )
        dt = min(self.stable_dt(), duration) if dt is None else dt
        self._check_step(dt, method)
        if record_every < 1:
            raise ValueError(
                f"[ContinuousHopfield] record_every is {record_every}, expected at least 1"
            )
        steps = math.ceil(duration / dt - 1e-9)
        times, kept, settled = [0.0], [states], False
        for k in range(1, steps + 1):
            states = self.step(states, dt, method)
            settled = bool(tolerance > 0 and np.abs(self.derivative(states)).max() < tolerance)
            if k % record_every == 0 or k == steps or settled:
                times.append(k * dt)
                kept.append(states)
            if settled:
                break
        inputs = np.array(kept)
        energy = self.energy(inputs)
        rise = np.diff(energy, axis=0).max(initial=-math.inf)
        if rise > 1e-9 * (1 + np.abs(energy).max()):
            warnings.warn(
                f"[ContinuousHopfield] the energy rose by {rise:.3g} in a step: dt = {dt:.3g} is "
                f"too large for these weights and this gain, stable_dt() is {self.stable_dt():.3g}",
                RuntimeWarning,
                stacklevel=2,
            )
        return Trajectory(np.array(times), inputs, self.outputs(inputs), energy, settled)

    @functools.cached_property
    def _norm(self) -> float:
        return float(np.abs(np.linalg.eigvalsh(self.weights)).max())

    def _integral(self, u: Array) -> Array:
        """The integral of g^-1 from 0 to g(u).

        tanh: ``u v + log(1 - v^2) / (2 gain)``, with ``1 - v^2 = 1 / cosh^2``; sigmoid: ``u v``
        and the logarithm of ``1 - v``. By u, because v may be 1 in floating point.
        """
        x = self.gain * u
        if self.activation == "sigmoid":
            return np.asarray(u * self.outputs(u) - np.logaddexp(0, x) / self.gain)
        log_cosh = np.logaddexp(x, -x) - math.log(2)
        return np.asarray(u * self.outputs(u) - log_cosh / self.gain)

    def _check_step(self, dt: float, method: str) -> None:
        if method not in METHODS:
            known = did_you_mean(method, METHODS)
            raise ValueError(f"[ContinuousHopfield] unknown method {method!r}{known}")
        largest = METHODS[method] * float((self.resistance * self.capacitance).min())
        if not 0 < dt < largest:
            raise ValueError(
                f"[ContinuousHopfield] dt is {dt}, expected 0 < dt < {largest:.6g}: with {method} "
                "the decay of a neuron would grow from there; stable_dt() gives a safe step"
            )

    def _states(self, u: ArrayLike) -> Array:
        states = np.asarray(u, np.float64)
        if states.ndim < 1 or states.shape[-1] != self.n:
            raise ValueError(
                f"[ContinuousHopfield] u has shape {states.shape}, the network {self.n} neurons; "
                f"expected ({self.n},) or (B, {self.n})"
            )
        if not np.isfinite(states).all():
            raise ValueError("[ContinuousHopfield] u contains NaN or infinity")
        return states

    def _vector(self, name: str, value: ArrayLike, *, positive: bool = False) -> Array:
        array = np.array(value, np.float64)
        if array.shape not in ((), (self.n,)):
            raise ValueError(
                f"[ContinuousHopfield] {name} has shape {array.shape}, weights "
                f"{self.weights.shape}; expected a number or ({self.n},)"
            )
        if positive and not (array > 0).all():
            raise ValueError(f"[ContinuousHopfield] {name} must be positive, got {value!r}")
        return np.broadcast_to(array, (self.n,)).copy()
