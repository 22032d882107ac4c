"""rnn against its definition: one sequence, one step, one gate at a time, and complex steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.cuda import native as cuda
from convkit.ops.registry import Array
from convkit.ops.rnn import rnn_params
from ops.numeric import each_row

CELLS = {
    "simple": {},
    "lstm": {},
    "gru": {"reset_after": 0},
    "gru, reset after": {"reset_after": 1},
}


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda a: np.where(a.real > 0, a, 0),
    "linear": lambda a: a,
}


def plain(title: str, arrays: dict[str, Array], mask: Array, params: dict[str, Any]) -> list[Array]:
    """y, h and, of the LSTM, c. Takes complex numbers; a cut drops their imaginary part."""
    x, w, u, b = (arrays[name] for name in "xwub")
    units = u.shape[0]
    b0, b1 = b if b.ndim == 2 else (b, np.zeros_like(b))
    y, last_h, last_c = [], [], []
    for n in range(x.shape[0]):
        h, c = arrays["h0"][n], arrays["c0"][n]
        output, outputs = np.zeros(units), {}
        for s in range(x.shape[1]):
            t = x.shape[1] - 1 - s if params["go_backwards"] else s
            if params["truncate"] and s and s % params["truncate"] == 0:
                h, c, output = h.real, c.real, output.real
            if mask[n, t]:
                parts = [x[n, t] @ w[:, k : k + units] for k in range(0, w.shape[1], units)]
                from_x = [p + b0[k * units :][:units] for k, p in enumerate(parts)]
                if title == "simple":
                    h = ACTIVATIONS[params["activation"]](from_x[0] + h @ u + b1)
                elif title == "lstm":
                    i, f, g, o = (
                        p + h @ u[:, k * units :][:, :units] + b1[k * units :][:units]
                        for k, p in enumerate(from_x)
                    )
                    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                    h = sigmoid(o) * np.tanh(c)
                else:
                    uz, ur, un = u[:, :units], u[:, units : 2 * units], u[:, 2 * units :]
                    z = sigmoid(from_x[0] + h @ uz + b1[:units])
                    r = sigmoid(from_x[1] + h @ ur + b1[units : 2 * units])
                    if params["reset_after"]:
                        new = np.tanh(from_x[2] + r * (h @ un + b1[2 * units :]))
                    else:
                        new = np.tanh(from_x[2] + (r * h) @ un)
                    h = z * h + (1 - z) * new
                output = h
            outputs[s if params["processing_order"] else t] = output
        y.append([outputs[s] for s in range(x.shape[1])])
        last_h.append(h)
        last_c.append(c)
    results = [np.array(y), np.array(last_h), np.array(last_c)]
    return results if title == "lstm" else results[:2]


def problem(title: str, n: int, t: int, c: int, h: int, rows: int) -> dict[str, Array]:
    rng = np.random.default_rng(t)
    gates = {"simple": 1, "lstm": 4}.get(title, 3)
    shapes = {
        "x": (n, t, c), "w": (c, gates * h), "u": (h, gates * h), "h0": (n, h), "c0": (n, h),
        "b": (2, gates * h) if rows == 2 else (gates * h,),
    }  # fmt: skip
    return {name: rng.standard_normal(shape) / 2 for name, shape in shapes.items()}


def functions(title: str) -> tuple[Any, Any]:
    name = {"simple": "simple_rnn", "lstm": "lstm"}.get(title, "gru")
    return getattr(ck.ops, name), getattr(ck.ops, f"{name}_backward")


def check_by_definition(
    title: str, length: int, masked: bool, rows: int, kernels: bool = True, **params: Any
) -> None:
    """Results of all rows, and the gradients' products with random directions.

    The directional derivatives are the imaginary parts of complex steps, exact to rounding
    (Squire and Trapp 1998).
    """
    arrays = problem(title, 3, length, 2, 4, rows)
    rng = np.random.default_rng(1)
    mask = np.ones((3, length), np.uint8)
    if masked:
        mask = (rng.random(mask.shape) < 0.6).astype(np.uint8)
        mask[0] = 0
    every = rnn_params(**{**CELLS[title], **params})
    expected = plain(title, arrays, mask, every)
    forward, backward = functions(title)
    options = {k: every[k] for k in ("go_backwards", "processing_order")}
    if title == "simple":
        options["activation"] = every["activation"]
    if title.startswith("gru"):
        options["reset_after"] = every["reset_after"]
    states = {k: arrays[k] for k in (("h0", "c0") if title == "lstm" else ("h0",))}
    if masked:
        options["mask"] = mask
    pass_name = title.partition(",")[0]
    weights = [arrays[k] for k in ("x", "w", "u")]

    incoming = [rng.standard_normal(e.shape) for e in expected]
    directions = {k: rng.standard_normal(arrays[k].shape) for k in (*"xwub", *states)}
    derivatives = {}
    for name, direction in directions.items():
        moved = {**arrays, name: arrays[name] + 1e-30j * direction}
        results = plain(title, moved, mask, every)
        derivatives[name] = sum(float((d * r.imag).sum()) * 1e30 for d, r in zip(incoming, results))

    def run(kernel: str) -> tuple[Any, ...]:
        out: tuple[Any, ...] = forward(*weights, arrays["b"], **states, **options, kernel=kernel)
        return out

    for out in each_row("rnn", f"{pass_name}_forward", run):
        for got, right in zip(out, expected):
            np.testing.assert_allclose(got, right.real, rtol=1e-11, atol=1e-12)
    saved = [out[0], *out[len(expected) :]]

    def back(kernel: str) -> tuple[Any, ...]:
        out: tuple[Any, ...] = backward(
            *weights, *saved, **dict(zip(("dy", "dh", "dc"), incoming)), b=arrays["b"],
            **states, **options, truncate=every["truncate"], kernel=kernel,
        )  # fmt: skip
        return out

    for gradients in each_row("rnn", f"{pass_name}_backward", back):
        for name, gradient in zip((*"xwub", *states), gradients, strict=True):
            got, right = float((gradient * directions[name]).sum()), derivatives[name]
            scale = float(np.abs(gradient * directions[name]).sum())
            assert abs(got - right) <= 1e-11 * scale + 1e-14, f"d{name}: {got} is not {right}"


@pytest.mark.parametrize("title", CELLS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 50])
def test_definition(title: str, masked: bool, length: int) -> None:
    rows = 2 if title == "gru, reset after" else 1
    check_by_definition(title, length, masked, rows)


@pytest.mark.parametrize("title", CELLS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("truncate", [0, 1, 3, 100])
def test_order_and_truncation(
    title: str, masked: bool, order: tuple[int, int], truncate: int
) -> None:
    rows = 2 if title == "gru, reset after" else 1
    names = {"go_backwards": order[0], "processing_order": order[1], "truncate": truncate}
    check_by_definition(title, 8, masked, rows, **names)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations(kind: str) -> None:
    check_by_definition("simple", 9, True, 1, activation=kind)


@pytest.mark.parametrize("title", ["simple", "lstm"])
def test_two_biases_add_up(title: str) -> None:
    check_by_definition(title, 4, False, 2)


def test_closed_form_of_a_linear_unit() -> None:
    """h_t = u^t h0 + the sum of u^(t-s) x_s, and its gradients."""
    u, steps = 0.5, 10
    x = np.arange(1.0, steps + 1)
    y, h = ck.ops.simple_rnn(
        x[None, :, None], np.eye(1), np.array([[u]]), None, np.array([[3.0]]), activation="linear"
    )
    powers = u ** np.arange(steps, -1, -1.0)
    assert h[0, 0] == powers @ np.array([3.0, *x])
    dx, _, _, db, dh0 = ck.ops.simple_rnn_backward(
        x[None, :, None], np.eye(1), np.array([[u]]), y, dh=np.ones((1, 1)),
        h0=np.array([[3.0]]), activation="linear",
    )  # fmt: skip
    assert dx[0, :, 0].tolist() == powers[1:].tolist() and dh0 is not None
    assert dh0[0, 0] == powers[0] and db is None


def test_masked_outputs_repeat() -> None:
    """As in Keras: zeros before the first step, whatever the state, then the output before."""
    rng = np.random.default_rng(0)
    x, w, u, h0 = (rng.standard_normal(s) for s in ((1, 5, 2), (2, 3), (3, 3), (1, 3)))
    mask = [[0, 1, 0, 1, 0]]
    y, h = ck.ops.simple_rnn(x, w, u, None, h0, mask=mask)
    assert (y[:, 0] == 0).all() and (y[:, 2] == y[:, 1]).all() and (y[:, 4] == h).all()
    only, _ = ck.ops.simple_rnn(x[:, [1, 3]], w, u, None, h0)
    np.testing.assert_allclose(y[:, [1, 3]], only, rtol=1e-15)
    still, h = ck.ops.simple_rnn(x, w, u, None, h0, mask=np.zeros((1, 5), bool))
    assert (still == 0).all() and (h == h0).all()


KERNELS = ["cpu_naive", "cpu_tiled"]
if not cuda.why_unavailable():
    KERNELS += ["cuda_simple", "cuda_persistent"]


@pytest.mark.parametrize("kernel", [name for name in KERNELS if name != "cuda_persistent"])
def test_numbers_stand_for_one_hot_rows(kernel):
    """X w has one term that is not 0."""
    rng = np.random.default_rng(4)
    index = rng.integers(0, 7, (3, 5))
    w, u = rng.standard_normal((7, 8)), rng.standard_normal((2, 8))
    numbers, rows = index.astype(float), np.eye(7)[index]
    a = ck.ops.lstm(numbers, w, u, kernel=kernel)
    b = ck.ops.lstm(rows, w, u, kernel=kernel)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    dy = rng.standard_normal(a[0].shape)
    dx, dw, du, *_ = ck.ops.lstm_backward(numbers, w, u, a[0], a[3], dy=dy, kernel=kernel)
    _, dw_rows, du_rows, *_ = ck.ops.lstm_backward(rows, w, u, b[0], b[3], dy=dy, kernel=kernel)
    assert dx is None
    np.testing.assert_allclose(dw, dw_rows, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(du, du_rows, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("wrong", [-1.0, 7.0])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_number_of_no_row_gives_nan(kernel, wrong):
    x = np.array([[0.0, 3.0, 6.0], [1.0, wrong, 2.0]], np.float32)
    w, u = np.ones((7, 4), np.float32), np.zeros((4, 4), np.float32)
    y, _ = ck.ops.simple_rnn(x, w, u, kernel=kernel)
    assert np.isfinite(y[0]).all() and np.isfinite(y[1, 0]).all()
    assert np.isnan(y[1, 1:]).all()
