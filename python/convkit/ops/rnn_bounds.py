"""Error bounds of `rnn`: its recurrences once more, with the error carried along.

A running error analysis (Higham 2002, section 3.3): every number comes with a bound of its own
error, in units of the unit roundoff, and each operation adds its rounding to what it makes of the
errors of its operands. Through the steps a bound grows by at most the factors that the derivatives
of the recurrence have in absolute value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convkit.ops.activation import activate, activation_error, derivative_from_output
from convkit.ops.registry import Array, Context
from convkit.ops.rnn_formulas import (
    Maybe,
    biases,
    cells_before_steps,
    initial,
    outputs_fed,
    real,
    rows_of,
    states_before,
    steps,
    steps_back,
)

_LARGEST = 1e100  # no kernel is held to that; beyond it products of errors would overflow
# The largest slopes and curvatures of the activations.
_SLOPE = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0, "linear": 1.0}
_CURVATURE = {"tanh": 0.77, "sigmoid": 0.0963, "relu": 0.0, "linear": 0.0}


@dataclass(frozen=True)
class Rounded:
    """Numbers, and bounds of their errors in units of the unit roundoff of `dtype`."""

    value: Array
    error: Array
    dtype: str

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    def _of(self, value: Array, error: Any) -> Rounded:
        error = np.minimum(error, _LARGEST)
        return Rounded(value, np.broadcast_to(error, value.shape), self.dtype)

    def exact(self, value: Any) -> Rounded:
        """Numbers without an error, in this dtype."""
        return self._of(np.asarray(value, np.float64), 0.0)

    def __add__(self, other: Rounded) -> Rounded:
        total = self.value + other.value
        return self._of(total, self.error + other.error + np.abs(total))

    def __sub__(self, other: Rounded) -> Rounded:
        return self + other._of(-other.value, other.error)

    def __rsub__(self, other: float) -> Rounded:
        return self.exact(other) - self

    def __mul__(self, other: Rounded) -> Rounded:
        error = np.abs(self.value) * other.error + self.error * np.abs(other.value)
        product = self.value * other.value
        return self._of(product, error + self.eps * self.error * other.error + np.abs(product))

    def dot(self, matrix: Array, terms: int = 1) -> Rounded:
        """``self @ matrix``, of a sum that has `terms` terms more (Higham 2002, eq. 3.5)."""
        n, wide = matrix.shape[0] + terms, np.abs(matrix)
        return self._of(self.value @ matrix, (n * np.abs(self.value) + self.error) @ wide)

    def plus(self, other: Rounded | Array | float, terms: int) -> Rounded:
        """One more part of a sum of `terms` terms."""
        if not isinstance(other, Rounded):
            other = self._of(np.asarray(other), terms * np.abs(other))
        return self._of(self.value + other.value, self.error + other.error)

    def activate(self, kind: str) -> Rounded:
        """``f(self)``: the error times the steepest slope of f near it."""
        y = activate(self.value, kind)
        near = np.abs(derivative_from_output(y, kind)) + _CURVATURE[kind] * self.eps * self.error
        slope = np.minimum(near, _SLOPE[kind]) if kind in ("tanh", "sigmoid") else _SLOPE[kind]
        return self._of(y, slope * self.error + activation_error(self.value, kind, 0.0, self.dtype))

    def where(self, condition: Array, other: Rounded | float) -> Rounded:
        """The numbers where the condition holds, elsewhere the other ones."""
        other = other if isinstance(other, Rounded) else self.exact(other)
        value = np.where(condition, self.value, other.value)
        return self._of(value, np.where(condition, self.error, other.error))

    def split(self, gates: int) -> list[Rounded]:
        """The column blocks of the gates."""
        values = np.split(self.value, gates, axis=-1)
        errors = np.split(self.error, gates, axis=-1)
        return [self._of(v, e) for v, e in zip(values, errors, strict=True)]


def join(parts: list[Rounded]) -> Rounded:
    """The gates' numbers side by side."""
    value = np.concatenate([p.value for p in parts], axis=-1)
    return parts[0]._of(value, np.concatenate([p.error for p in parts], axis=-1))


def over_time(parts: list[Rounded | None]) -> Rounded:
    """Numbers of all times, (N, H) each, as (N, T, H)."""
    given = [p for p in parts if p is not None]
    value = np.stack([p.value for p in given], axis=1)
    return given[0]._of(value, np.stack([p.error for p in given], axis=1))


def _exact(ctx: Context, value: Array) -> Rounded:
    dtype = next(s.dtype for s in ctx.out if s is not None)
    return Rounded(value, np.zeros_like(value), dtype)


def simple_forward_bound(
    ctx: Context, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe, mask: Maybe
) -> tuple[Any, ...]:
    """Bounds of y and h."""
    b0, b1 = biases(b)
    n, is_real = w.shape[0] + u.shape[0] + 3, real(mask, x)
    h = _exact(ctx, initial(h0, x, u.shape[0]))
    output, y = h.exact(np.zeros_like(h.value)), np.empty((*x.shape[:2], u.shape[0]))
    for t, at in steps(ctx, x.shape[1]):
        a = h.exact(x[:, t]).dot(w, n - w.shape[0]).plus(h.dot(u, n - u.shape[0]), n)
        new = a.plus(b0, n).plus(b1, n).activate(ctx["activation"])
        h, output = new.where(is_real[:, t], h), new.where(is_real[:, t], output)
        y[:, at] = output.error
    return y, h.error


def lstm_forward_bound(
    ctx: Context, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe, c0: Maybe, mask: Maybe
) -> tuple[Any, ...]:
    """Bounds of y, h, c and saved."""
    b0, b1 = biases(b)
    units, is_real = u.shape[0], real(mask, x)
    n = w.shape[0] + units + 3
    h, c = _exact(ctx, initial(h0, x, units)), _exact(ctx, initial(c0, x, units))
    output, y = h.exact(np.zeros_like(h.value)), np.empty((*x.shape[:2], units))
    saved = np.empty((*x.shape[:2], 5 * units))
    for t, at in steps(ctx, x.shape[1]):
        a = h.exact(x[:, t]).dot(w, n - w.shape[0]).plus(h.dot(u, n - units), n)
        kinds = ("sigmoid", "sigmoid", "tanh", "sigmoid")
        gates = a.plus(b0, n).plus(b1, n).split(4)
        i, f, g, o = (gate.activate(kind) for gate, kind in zip(gates, kinds, strict=True))
        new_c = f * c + i * g
        new_h = o * new_c.activate("tanh")
        saved[:, t] = np.where(is_real[:, t], join([i, f, g, o, new_c]).error, 0)
        h, c = new_h.where(is_real[:, t], h), new_c.where(is_real[:, t], c)
        output = new_h.where(is_real[:, t], output)
        y[:, at] = output.error
    return y, h.error, c.error, saved


def gru_forward_bound(
    ctx: Context, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe, mask: Maybe
) -> tuple[Any, ...]:
    """Bounds of y, h and saved."""
    b0, b1 = biases(b)
    units, is_real, reset_after = u.shape[0], real(mask, x), ctx["reset_after"]
    n = w.shape[0] + units + 3
    h = _exact(ctx, initial(h0, x, units))
    output, y = h.exact(np.zeros_like(h.value)), np.empty((*x.shape[:2], units))
    saved = np.empty((*x.shape[:2], (4 if reset_after else 3) * units))
    for t, at in steps(ctx, x.shape[1]):
        from_x = h.exact(x[:, t]).dot(w, n - w.shape[0]).plus(b0, n).split(3)
        if reset_after:
            from_h = h.dot(u, n - units).plus(b1, n).split(3)
            z, r = (from_x[k].plus(from_h[k], n).activate("sigmoid") for k in (0, 1))
            q = from_h[2]
            gates = [z, r, (from_x[2] + r * q).activate("tanh"), q]
        else:
            gate_h = h.dot(u[:, : 2 * units], n - units).split(2)
            z, r = (from_x[k].plus(gate_h[k], n).activate("sigmoid") for k in (0, 1))
            from_rh = (r * h).dot(u[:, 2 * units :], n - units)
            gates = [z, r, from_x[2].plus(from_rh, n).activate("tanh")]
        new = z * h + (1 - z) * gates[2]
        saved[:, t] = np.where(is_real[:, t], join(gates).error, 0)
        h, output = new.where(is_real[:, t], h), new.where(is_real[:, t], output)
        y[:, at] = output.error
    return y, h.error, saved


def _sums(left: Rounded, right: Rounded) -> Array:
    """Bound of the sum of the outer products over sequences and times."""
    rows = left.value.shape[0] * left.value.shape[1] + 1
    a, ea = rows_of(np.abs(left.value)), rows_of(left.error)
    b, eb = rows_of(np.abs(right.value)), rows_of(right.error)
    return np.asarray(a.T @ (rows * b + eb) + ea.T @ (b + left.eps * eb))


def _bias_sums(b: Maybe, da: Rounded, recurrent: Rounded) -> Any:
    if b is None:
        return None
    rows = da.value.shape[0] * da.value.shape[1] + 1
    sums = [(rows * np.abs(a.value) + a.error).sum(axis=(0, 1)) for a in (da, recurrent)]
    return np.stack(sums) if b.ndim == 2 else sums[0]


def simple_backward_bound(
    ctx: Context, dy: Maybe, dh: Maybe, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe,
    mask: Maybe, y: Array,
) -> tuple[Any, ...]:  # fmt: skip
    """Bounds of dx, dw, du, db and dh0."""
    units = u.shape[0]
    is_real, fed = real(mask, x), _exact(ctx, outputs_fed(ctx, dy, mask, x, units))
    before = states_before(ctx, initial(h0, x, units), y, mask, x)
    parts: list[Rounded | None] = [None] * x.shape[1]
    carried = fed.exact(initial(dh, x, units))
    for t, at, cut in steps_back(ctx, x.shape[1]):
        carried = carried + fed.exact(fed.value[:, t])
        output = fed.exact(y[:, at])
        kind = ctx["activation"]
        slope = {"tanh": 1 - output * output, "sigmoid": output * (1 - output)}.get(
            kind, fed.exact(derivative_from_output(y[:, at], kind))
        )
        da = (carried * slope).where(is_real[:, t], 0.0)
        parts[t] = da
        carried = da.dot(u.T).where(is_real[:, t], carried)
        carried = carried.exact(np.zeros_like(carried.value)) if cut else carried
    da = over_time(parts)
    dw, du = _sums(da.exact(x), da), _sums(da.exact(before), da)
    return da.dot(w.T).error, dw, du, _bias_sums(b, da, da), carried.error


def lstm_backward_bound(
    ctx: Context, dy: Maybe, dh: Maybe, dc: Maybe, x: Array, w: Array, u: Array, b: Maybe,
    h0: Maybe, c0: Maybe, mask: Maybe, y: Array, saved: Array,
) -> tuple[Any, ...]:  # fmt: skip
    """Bounds of dx, dw, du, db, dh0 and dc0."""
    units = u.shape[0]
    is_real, fed = real(mask, x), _exact(ctx, outputs_fed(ctx, dy, mask, x, units))
    before = states_before(ctx, initial(h0, x, units), y, mask, x)
    cells_before = cells_before_steps(ctx, c0, saved, mask, x)
    parts: list[Rounded | None] = [None] * x.shape[1]
    carried, cell = fed.exact(initial(dh, x, units)), fed.exact(initial(dc, x, units))
    zeros = fed.exact(np.zeros_like(carried.value))
    for t, _, cut in steps_back(ctx, x.shape[1]):
        i, f, g, o, c = fed.exact(saved[:, t]).split(5)
        carried = carried + fed.exact(fed.value[:, t])
        tanh_c = c.activate("tanh")
        new = cell + carried * o * (1 - tanh_c * tanh_c)
        gates = [
            new * g * i * (1 - i),
            new * fed.exact(cells_before[:, t]) * f * (1 - f),
            new * i * (1 - g * g),
            carried * tanh_c * o * (1 - o),
        ]
        da = join(gates).where(is_real[:, t], 0.0)
        parts[t] = da
        carried = da.dot(u.T).where(is_real[:, t], carried)
        cell = (new * f).where(is_real[:, t], cell)
        carried, cell = (zeros, zeros) if cut else (carried, cell)
    da = over_time(parts)
    dw, du = _sums(da.exact(x), da), _sums(da.exact(before), da)
    return da.dot(w.T).error, dw, du, _bias_sums(b, da, da), carried.error, cell.error


def gru_backward_bound(
    ctx: Context, dy: Maybe, dh: Maybe, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe,
    mask: Maybe, y: Array, saved: Array,
) -> tuple[Any, ...]:  # fmt: skip
    """Bounds of dx, dw, du, db and dh0."""
    units, reset_after = u.shape[0], ctx["reset_after"]
    is_real, fed = real(mask, x), _exact(ctx, outputs_fed(ctx, dy, mask, x, units))
    before = states_before(ctx, initial(h0, x, units), y, mask, x)
    gates, un = u[:, : 2 * units], u[:, 2 * units :]
    parts: list[Rounded | None] = [None] * x.shape[1]
    parts_q: list[Rounded | None] = [None] * x.shape[1]
    carried = fed.exact(initial(dh, x, units))
    for t, _, cut in steps_back(ctx, x.shape[1]):
        h, (z, r, n) = fed.exact(before[:, t]), fed.exact(saved[:, t, : 3 * units]).split(3)
        carried = carried + fed.exact(fed.value[:, t])
        dz = carried * (h - n) * z * (1 - z)
        dn = carried * (1 - z) * (1 - n * n)
        if reset_after:
            dq = dn * r
            dr = dn * fed.exact(saved[:, t, 3 * units :]) * r * (1 - r)
            through_n = dq.dot(un.T, 2 * units + 3)
        else:
            d_rh = dn.dot(un.T)
            dq, dr = dn, d_rh * h * r * (1 - r)
            through_n = d_rh * r
        da = join([dz, dr, dn]).where(is_real[:, t], 0.0)
        parts[t], parts_q[t] = da, dq.where(is_real[:, t], 0.0)
        through_gates = join([dz, dr]).dot(gates.T, units + 3)
        new = carried * z + through_n + through_gates
        carried = new.where(is_real[:, t], carried)
        carried = carried.exact(np.zeros_like(carried.value)) if cut else carried
    da, dq = over_time(parts), over_time(parts_q)
    hidden = da.exact(before)
    left = hidden if reset_after else da.exact(saved[..., units : 2 * units]) * hidden
    dz_dr = join(da.split(3)[:2])
    du = np.concatenate([_sums(hidden, dz_dr), _sums(left, dq)], axis=-1)
    db = _bias_sums(b, da, join([dz_dr, dq]))
    return da.dot(w.T).error, _sums(da.exact(x), da), du, db, carried.error
