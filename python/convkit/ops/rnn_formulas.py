"""The recurrences of `rnn` and their gradients: its reference, one loop over the steps each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convkit.ops.activation_formulas import activate, derivative_from_output, logistic
from convkit.ops.registry import Array, Context

Maybe = Array | None


def steps(ctx: Context, length: int) -> Iterator[tuple[int, int]]:
    """Time of the input and place of the output of each step, in the order they are taken."""
    for s in range(length):
        t = length - 1 - s if ctx["go_backwards"] else s
        yield t, s if ctx["processing_order"] else t


def split(a: Array, gates: int) -> list[Array]:
    """The column blocks of the gates."""
    return np.split(a, gates, axis=-1)


def biases(b: Maybe) -> tuple[Array | float, Array | float]:
    """What is added beside x w, and beside h u."""
    if b is None:
        return 0.0, 0.0
    return (b[0], b[1]) if b.ndim == 2 else (b, 0.0)


def initial(state: Maybe, x: Array, units: int) -> Array:
    """The state before the first step."""
    return np.zeros((x.shape[0], units)) if state is None else state


def real(mask: Maybe, x: Array) -> Array:
    """Which times of which sequences are steps, as bools of shape (N, T, 1)."""
    return np.ones((*x.shape[:2], 1), bool) if mask is None else (mask != 0)[:, :, None]


def states_before(ctx: Context, first: Array, after: Array, mask: Maybe, x: Array) -> Array:
    """The state before each step, by the time of its input; `after` has those after it."""
    before, state, is_real = np.empty_like(after), first, real(mask, x)
    for t, at in steps(ctx, x.shape[1]):
        before[:, t] = state
        state = np.where(is_real[:, t], after[:, at], state)
    return before


def simple_forward(
    ctx: Context, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe, mask: Maybe
) -> tuple[Array, Array]:
    """``h' = f(x w + h u + b)``."""
    b0, b1 = biases(b)
    is_real, h = real(mask, x), initial(h0, x, u.shape[0])
    y, output = np.empty((*x.shape[:2], u.shape[0])), np.zeros_like(h)
    for t, at in steps(ctx, x.shape[1]):
        new = activate(x[:, t] @ w + b0 + h @ u + b1, ctx["activation"])
        h = np.where(is_real[:, t], new, h)
        output = np.where(is_real[:, t], new, output)
        y[:, at] = output
    return y, h


def lstm_forward(
    ctx: Context, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe, c0: Maybe, mask: Maybe
) -> tuple[Array, Array, Array, Array]:
    """``c' = f c + i g``, ``h' = o tanh(c')``."""
    b0, b1 = biases(b)
    units = u.shape[0]
    is_real, h, c = real(mask, x), initial(h0, x, units), initial(c0, x, units)
    y, output = np.empty((*x.shape[:2], units)), np.zeros_like(h)
    saved = np.empty((*x.shape[:2], 5 * units))
    for t, at in steps(ctx, x.shape[1]):
        i, f, g, o = split(x[:, t] @ w + b0 + h @ u + b1, 4)
        i, f, g, o = logistic(i), logistic(f), np.tanh(g), logistic(o)
        new_c = f * c + i * g
        new_h = o * np.tanh(new_c)
        saved[:, t] = np.where(is_real[:, t], np.concatenate([i, f, g, o, new_c], axis=-1), 0)
        h, c = np.where(is_real[:, t], new_h, h), np.where(is_real[:, t], new_c, c)
        output = np.where(is_real[:, t], new_h, output)
        y[:, at] = output
    return y, h, c, saved


def gru_forward(
    ctx: Context, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe, mask: Maybe
) -> tuple[Array, Array, Array]:
    """``h' = z h + (1 - z) n``."""
    b0, b1 = biases(b)
    units = u.shape[0]
    is_real, h = real(mask, x), initial(h0, x, units)
    y, output = np.empty((*x.shape[:2], units)), np.zeros_like(h)
    saved = np.empty((*x.shape[:2], (4 if ctx["reset_after"] else 3) * units))
    for t, at in steps(ctx, x.shape[1]):
        xz, xr, xn = split(x[:, t] @ w + b0, 3)
        if ctx["reset_after"]:
            hz, hr, q = split(h @ u + b1, 3)
            z, r = logistic(xz + hz), logistic(xr + hr)
            n = np.tanh(xn + r * q)
            gates = [z, r, n, q]
        else:
            uz, ur, un = split(u, 3)
            z, r = logistic(xz + h @ uz), logistic(xr + h @ ur)
            n = np.tanh(xn + (r * h) @ un)
            gates = [z, r, n]
        new = z * h + (1 - z) * n
        saved[:, t] = np.where(is_real[:, t], np.concatenate(gates, axis=-1), 0)
        h = np.where(is_real[:, t], new, h)
        output = np.where(is_real[:, t], new, output)
        y[:, at] = output
    return y, h, saved


def outputs_fed(ctx: Context, dy: Maybe, mask: Maybe, x: Array, units: int) -> Array:
    """Dy by the time of the input, 0 where y has no state to repeat: before the first step."""
    fed = np.zeros((*x.shape[:2], units))
    seen, is_real = np.zeros((x.shape[0], 1), bool), real(mask, x)
    for t, at in steps(ctx, x.shape[1]):
        seen = seen | is_real[:, t]
        fed[:, t] = 0 if dy is None else np.where(seen, dy[:, at], 0)
    return fed


def steps_back(ctx: Context, length: int) -> Iterator[tuple[int, int, bool]]:
    """`steps` in reverse, and whether the gradient is cut between a step and the one before it."""
    k = ctx["truncate"]
    for s, (t, at) in reversed(list(enumerate(steps(ctx, length)))):
        yield t, at, bool(k and s and s % k == 0)


def rows_of(a: Array) -> Array:
    """The steps of all sequences as rows."""
    return a.reshape(a.shape[0] * a.shape[1], a.shape[2])


def product_sum(left: Array, right: Array) -> Array:
    """Sum of the outer products over sequences and times: a weight's gradient."""
    return np.asarray(rows_of(left).T @ rows_of(right))


def bias_gradient(b: Maybe, da: Array, recurrent: Array) -> Maybe:
    """Sums over sequences and times, in the bias's shape."""
    if b is None:
        return None
    sums = da.sum(axis=(0, 1)), recurrent.sum(axis=(0, 1))
    return np.stack(sums) if b.ndim == 2 else sums[0]


def simple_backward(
    ctx: Context, dy: Maybe, dh: Maybe, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe,
    mask: Maybe, y: Array,
) -> tuple[Maybe, ...]:  # fmt: skip
    """Gradients of `simple_forward`: dx, dw, du, db, dh0."""
    units = u.shape[0]
    is_real, fed = real(mask, x), outputs_fed(ctx, dy, mask, x, units)
    before = states_before(ctx, initial(h0, x, units), y, mask, x)
    da, dh = np.empty_like(y), initial(dh, x, units)
    for t, at, cut in steps_back(ctx, x.shape[1]):
        dh = dh + fed[:, t]
        slope = derivative_from_output(y[:, at], ctx["activation"])
        da[:, t] = np.where(is_real[:, t], dh * slope, 0)
        dh = np.where(is_real[:, t], da[:, t] @ u.T, dh)
        dh = np.zeros_like(dh) if cut else dh
    return da @ w.T, product_sum(x, da), product_sum(before, da), bias_gradient(b, da, da), dh


def lstm_backward(
    ctx: Context, dy: Maybe, dh: Maybe, dc: Maybe, x: Array, w: Array, u: Array, b: Maybe,
    h0: Maybe, c0: Maybe, mask: Maybe, y: Array, saved: Array,
) -> tuple[Maybe, ...]:  # fmt: skip
    """Gradients of `lstm_forward`: dx, dw, du, db, dh0, dc0."""
    units = u.shape[0]
    is_real, fed = real(mask, x), outputs_fed(ctx, dy, mask, x, units)
    before = states_before(ctx, initial(h0, x, units), y, mask, x)
    cells_before = cells_before_steps(ctx, c0, saved, mask, x)
    da = np.empty((*x.shape[:2], 4 * units))
    dh, dc = initial(dh, x, units), initial(dc, x, units)
    for t, _, cut in steps_back(ctx, x.shape[1]):
        i, f, g, o, c = split(saved[:, t], 5)
        dh = dh + fed[:, t]
        tanh_c = np.tanh(c)
        new_dc = dc + dh * o * (1 - tanh_c**2)
        di = new_dc * g * i * (1 - i)
        df = new_dc * cells_before[:, t] * f * (1 - f)
        dg = new_dc * i * (1 - g**2)
        do = dh * tanh_c * o * (1 - o)
        da[:, t] = np.where(is_real[:, t], np.concatenate([di, df, dg, do], axis=-1), 0)
        dh = np.where(is_real[:, t], da[:, t] @ u.T, dh)
        dc = np.where(is_real[:, t], new_dc * f, dc)
        if cut:
            dh, dc = np.zeros_like(dh), np.zeros_like(dc)
    db = bias_gradient(b, da, da)
    return da @ w.T, product_sum(x, da), product_sum(before, da), db, dh, dc


def cells_before_steps(ctx: Context, c0: Maybe, saved: Array, mask: Maybe, x: Array) -> Array:
    """The cell state before each step, by the time of its input."""
    c = split(saved, 5)[4]
    return states_before(
        Context({**ctx.params, "processing_order": 0}, ctx.out),
        initial(c0, x, c.shape[-1]), c, mask, x,
    )  # fmt: skip


def gru_backward(
    ctx: Context, dy: Maybe, dh: Maybe, x: Array, w: Array, u: Array, b: Maybe, h0: Maybe,
    mask: Maybe, y: Array, saved: Array,
) -> tuple[Maybe, ...]:  # fmt: skip
    """Gradients of `gru_forward`: dx, dw, du, db, dh0."""
    units, reset_after = u.shape[0], ctx["reset_after"]
    is_real, fed = real(mask, x), outputs_fed(ctx, dy, mask, x, units)
    before = states_before(ctx, initial(h0, x, units), y, mask, x)
    gates, un = u[:, : 2 * units], u[:, 2 * units :]
    da = np.empty((*x.shape[:2], 3 * units))  # of the sums with x w
    dq = np.empty_like(y)  # of what u_n is multiplied into
    dh = initial(dh, x, units)
    for t, _, cut in steps_back(ctx, x.shape[1]):
        h, (z, r, n) = before[:, t], split(saved[:, t, : 3 * units], 3)
        dh = dh + fed[:, t]
        dz = dh * (h - n) * z * (1 - z)
        dn = dh * (1 - z) * (1 - n**2)
        if reset_after:
            q = saved[:, t, 3 * units :]
            new_dq, dr = dn * r, dn * q * r * (1 - r)
            through_n = new_dq @ un.T
        else:
            d_rh = dn @ un.T
            new_dq, dr = dn, d_rh * h * r * (1 - r)
            through_n = d_rh * r
        da[:, t] = np.where(is_real[:, t], np.concatenate([dz, dr, dn], axis=-1), 0)
        dq[:, t] = np.where(is_real[:, t], new_dq, 0)
        through_gates = da[:, t, : 2 * units] @ gates.T
        dh = np.where(is_real[:, t], dh * z + through_n + through_gates, dh)
        dh = np.zeros_like(dh) if cut else dh
    left_of_un = before if reset_after else saved[..., units : 2 * units] * before
    du = np.concatenate(
        [product_sum(before, da[..., : 2 * units]), product_sum(left_of_un, dq)], axis=-1
    )
    recurrent = np.concatenate([da[..., : 2 * units], dq], axis=-1)
    return da @ w.T, product_sum(x, da), du, bias_gradient(b, da, recurrent), dh
