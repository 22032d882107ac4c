"""Error bounds of `rnn`: its recurrences once more, with the error carried along.

A running error analysis (Higham 2002, section 3.3): every number comes with a bound of its own
error, in units of the unit roundoff, and each operation adds its rounding to what it makes of the
errors of its operands. Taken one by one, a product with u multiplies errors by the absolute values
of u, which would make the bound grow from step to step where the errors do not. So the errors of a
row also have a bound of their 2-norm, which a product multiplies by the spectral norm of u; the
smaller of the two counts.
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


def _norm(a: Array) -> Array:
    return np.asarray(np.sqrt((a * a).sum(axis=-1, keepdims=True)))


def _largest(a: Array) -> Array:
    return np.asarray(np.abs(a).max(axis=-1, keepdims=True, initial=0.0))


class Weight:
    """A matrix, and by how much a product with it can enlarge errors."""

    def __init__(self, value: Array) -> None:
        self.value, self.wide = value, np.abs(value)
        finite = value.size > 0 and bool(np.isfinite(value).all())
        self.spectral = float(np.linalg.norm(value, 2)) if finite else _LARGEST
        self.columns = np.sqrt((value * value).sum(axis=0))


@dataclass(frozen=True)
class Rounded:
    """Numbers, and bounds of their errors in units of the unit roundoff of `dtype`.

    Attributes
    ----------
    value : ndarray, shape (..., K)
    error : ndarray of that shape
        Bounds of the errors one by one.
    length : ndarray, shape (..., 1)
        Bounds of the 2-norms of the errors of each row.
    dtype : str
    """

    value: Array
    error: Array
    length: Array
    dtype: str

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    def _of(self, value: Array, error: Any, length: Any = _LARGEST) -> Rounded:
        error = np.broadcast_to(np.minimum(error, _LARGEST), value.shape)
        length = np.minimum(length, _norm(error))
        return Rounded(value, np.minimum(error, length), length, self.dtype)

    def exact(self, value: Array) -> Rounded:
        """Numbers without an error, in this dtype."""
        return self._of(value, np.zeros_like(value))

    def __add__(self, other: Rounded) -> Rounded:
        total = self.value + other.value
        error = self.error + other.error + np.abs(total)
        return self._of(total, error, self.length + other.length + _norm(total))

    def __sub__(self, other: Rounded) -> Rounded:
        return self + other._of(-other.value, other.error, other.length)

    def __rsub__(self, other: float) -> Rounded:
        total = other - self.value
        return self._of(total, self.error + np.abs(total), self.length + _norm(total))

    def __mul__(self, other: Rounded) -> Rounded:
        product = self.value * other.value
        error = np.abs(self.value) * other.error + self.error * np.abs(other.value)
        error = error + self.eps * self.error * other.error + np.abs(product)
        length = _largest(self.value) * other.length + self.length * _largest(other.value)
        length = length + self.eps * _largest(self.error) * other.length + _norm(product)
        return self._of(product, error, length)

    def dot(self, matrix: Weight, terms: int = 1) -> Rounded:
        """``self @ matrix``, of a sum that has `terms` terms more (Higham 2002, eq. 3.5)."""
        rounding = (matrix.value.shape[0] + terms) * (np.abs(self.value) @ matrix.wide)
        error = np.minimum(self.error @ matrix.wide, self.length * matrix.columns) + rounding
        length = self.length * matrix.spectral + _norm(rounding)
        return self._of(self.value @ matrix.value, error, length)

    def plus(self, other: Rounded | Array | float, terms: int) -> Rounded:
        """One more part of a sum of `terms` terms."""
        if not isinstance(other, Rounded):
            value = np.broadcast_to(other, self.value.shape)
            other = self._of(value, terms * np.abs(value))
        total = self.value + other.value
        return self._of(total, self.error + other.error, self.length + other.length)

    def activate(self, kind: str) -> Rounded:
        """``f(self)``: the error times the steepest slope of f near it."""
        y = activate(self.value, kind)
        near = np.abs(derivative_from_output(y, kind)) + _CURVATURE[kind] * self.eps * self.error
        slope = np.minimum(near, _SLOPE[kind]) if kind in ("tanh", "sigmoid") else near * 0 + 1
        rounding = activation_error(self.value, kind, 0.0, self.dtype)
        length = _largest(slope) * self.length + _norm(rounding)
        error = slope * self.error + rounding
        if kind in ("tanh", "sigmoid"):  # both results are in [-1, 1]
            error = np.minimum(error, 4 / self.eps)
        return self._of(y, error, length)

    def where(self, condition: Array, other: Rounded) -> Rounded:
        """The rows where the condition holds, elsewhere the other ones."""
        value = np.where(condition, self.value, other.value)
        error = np.where(condition, self.error, other.error)
        return self._of(value, error, np.where(condition, self.length, other.length))

    def zeros(self) -> Rounded:
        """Exact zeros of this shape."""
        return self.exact(np.zeros_like(self.value))

    def only(self, condition: Array) -> Rounded:
        """The rows where the condition holds, elsewhere exact zeros."""
        return self.where(condition, self.zeros())

    def split(self, gates: int) -> list[Rounded]:
        """The column blocks of the gates."""
        values = np.split(self.value, gates, axis=-1)
        errors = np.split(self.error, gates, axis=-1)
        return [self._of(v, e, self.length) for v, e in zip(values, errors, strict=True)]


def join(parts: list[Rounded]) -> Rounded:
    """The gates' numbers side by side."""
    value = np.concatenate([p.value for p in parts], axis=-1)
    error = np.concatenate([p.error for p in parts], axis=-1)
    return parts[0]._of(value, error, _norm(np.concatenate([p.length for p in parts], axis=-1)))


def over_time(parts: list[Rounded | None]) -> Rounded:
    """Numbers of all times, (N, H) each, as (N, T, H)."""
    given = [p for p in parts if p is not None]
    value, error, length = (
        np.stack([getattr(p, name) for p in given], axis=1) for name in ("value", "error", "length")
    )
    return given[0]._of(value, error, length)


def _exact(ctx: Context, value: Array) -> Rounded:
    dtype = next(s.dtype for s in ctx.out if s is not None)
    zeros = np.zeros_like(value)
    return Rounded(value, zeros, _norm(zeros), dtype)


def simple_forward_bound(
    ctx: Context, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe, mask: Maybe
) -> tuple[Any, ...]:
    """Bounds of y and h."""
    b0, b1 = biases(b)
    n, is_real = w.shape[0] + u.shape[0] + 3, real(mask, x)
    of_x, of_h = Weight(w), Weight(u)
    h = _exact(ctx, initial(h0, x, u.shape[0]))
    output, y = h.zeros(), np.empty((*x.shape[:2], u.shape[0]))
    for t, at in steps(ctx, x.shape[1]):
        a = h.exact(x[:, t]).dot(of_x, n - w.shape[0]).plus(h.dot(of_h, n - u.shape[0]), n)
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
    n, of_x, of_h = w.shape[0] + units + 3, Weight(w), Weight(u)
    h, c = _exact(ctx, initial(h0, x, units)), _exact(ctx, initial(c0, x, units))
    output, y = h.zeros(), np.empty((*x.shape[:2], units))
    saved = np.empty((*x.shape[:2], 5 * units))
    for t, at in steps(ctx, x.shape[1]):
        a = h.exact(x[:, t]).dot(of_x, n - w.shape[0]).plus(h.dot(of_h, n - units), n)
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
    n, of_x, of_h = w.shape[0] + units + 3, Weight(w), Weight(u)
    of_gates, of_n = Weight(u[:, : 2 * units]), Weight(u[:, 2 * units :])
    h = _exact(ctx, initial(h0, x, units))
    output, y = h.zeros(), np.empty((*x.shape[:2], units))
    saved = np.empty((*x.shape[:2], (4 if reset_after else 3) * units))
    for t, at in steps(ctx, x.shape[1]):
        from_x = h.exact(x[:, t]).dot(of_x, n - w.shape[0]).plus(b0, n).split(3)
        if reset_after:
            from_h = h.dot(of_h, n - units).plus(b1, n).split(3)
            z, r = (from_x[k].plus(from_h[k], n).activate("sigmoid") for k in (0, 1))
            q = from_h[2]
            gates = [z, r, (from_x[2] + r * q).activate("tanh"), q]
        else:
            gate_h = h.dot(of_gates, n - units).split(2)
            z, r = (from_x[k].plus(gate_h[k], n).activate("sigmoid") for k in (0, 1))
            from_rh = (r * h).dot(of_n, n - units)
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
    carried, back = fed.exact(initial(dh, x, units)), Weight(u.T)
    zeros = carried.zeros()
    for t, at, cut in steps_back(ctx, x.shape[1]):
        carried = carried + fed.exact(fed.value[:, t])
        output = fed.exact(y[:, at])
        kind = ctx["activation"]
        slope = {"tanh": 1 - output * output, "sigmoid": output * (1 - output)}.get(
            kind, fed.exact(derivative_from_output(y[:, at], kind))
        )
        da = (carried * slope).only(is_real[:, t])
        parts[t] = da
        carried = da.dot(back).where(is_real[:, t], carried)
        carried = zeros if cut else carried
    da = over_time(parts)
    dw, du = _sums(da.exact(x), da), _sums(da.exact(before), da)
    return da.dot(Weight(w.T)).error, dw, du, _bias_sums(b, da, da), carried.error


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
    back, zeros = Weight(u.T), carried.zeros()
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
        da = join(gates).only(is_real[:, t])
        parts[t] = da
        carried = da.dot(back).where(is_real[:, t], carried)
        cell = (new * f).where(is_real[:, t], cell)
        carried, cell = (zeros, zeros) if cut else (carried, cell)
    da = over_time(parts)
    dw, du = _sums(da.exact(x), da), _sums(da.exact(before), da)
    return da.dot(Weight(w.T)).error, dw, du, _bias_sums(b, da, da), carried.error, cell.error


def gru_backward_bound(
    ctx: Context, dy: Maybe, dh: Maybe, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe,
    mask: Maybe, y: Array, saved: Array,
) -> tuple[Any, ...]:  # fmt: skip
    """Bounds of dx, dw, du, db and dh0."""
    units, reset_after = u.shape[0], ctx["reset_after"]
    is_real, fed = real(mask, x), _exact(ctx, outputs_fed(ctx, dy, mask, x, units))
    before = states_before(ctx, initial(h0, x, units), y, mask, x)
    through_u, through_un = Weight(u[:, : 2 * units].T), Weight(u[:, 2 * units :].T)
    parts: list[Rounded | None] = [None] * x.shape[1]
    parts_q: list[Rounded | None] = [None] * x.shape[1]
    carried = fed.exact(initial(dh, x, units))
    zeros = carried.zeros()
    for t, _, cut in steps_back(ctx, x.shape[1]):
        h, (z, r, n) = fed.exact(before[:, t]), fed.exact(saved[:, t, : 3 * units]).split(3)
        carried = carried + fed.exact(fed.value[:, t])
        dz = carried * (h - n) * z * (1 - z)
        dn = carried * (1 - z) * (1 - n * n)
        if reset_after:
            dq = dn * r
            dr = dn * fed.exact(saved[:, t, 3 * units :]) * r * (1 - r)
            through_n = dq.dot(through_un, 2 * units + 3)
        else:
            d_rh = dn.dot(through_un)
            dq, dr = dn, d_rh * h * r * (1 - r)
            through_n = d_rh * r
        da = join([dz, dr, dn]).only(is_real[:, t])
        parts[t], parts_q[t] = da, dq.only(is_real[:, t])
        through_gates = join([dz, dr]).dot(through_u, units + 3)
        new = carried * z + through_n + through_gates
        carried = new.where(is_real[:, t], carried)
        carried = zeros if cut else carried
    da, dq = over_time(parts), over_time(parts_q)
    hidden = da.exact(before)
    left = hidden if reset_after else da.exact(saved[..., units : 2 * units]) * hidden
    dz_dr = join(da.split(3)[:2])
    du = np.concatenate([_sums(hidden, dz_dr), _sums(left, dq)], axis=-1)
    db = _bias_sums(b, da, join([dz_dr, dq]))
    return da.dot(Weight(w.T)).error, _sums(da.exact(x), da), du, db, carried.error
