"""rnn: simple, LSTM and GRU layers over sequences. Contract in csrc/ops/rnn/rnn.h."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_mask, as_operands
from convkit.ops.registry import Array, Params
from convkit.ops.rnn_rules import OP, rnn_params

__all__ = [
    "OP", "gru", "gru_backward", "lstm", "lstm_backward", "rnn_params", "simple_rnn",
    "simple_rnn_backward",
]  # fmt: skip


def _run(
    cell: str, which: str, given: dict[str, ArrayLike | None], params: Params, kernel: str | None
) -> tuple[Any, ...]:
    """Run a pass on its operands by name: floats of one dtype, and the mask."""
    mask = given["mask"]
    floats = {name: value for name, value in given.items() if name != "mask"}
    operands = dict(zip(floats, as_operands("rnn", **floats), strict=True))
    x = operands["x"]
    if x is not None and x.ndim == 2 and not np.array_equal(x, np.floor(x)):
        raise ValueError(
            f"[rnn] {cell}: x of shape {x.shape} must hold whole numbers, of one-hot rows; if it "
            "is one sequence (T, C), add the batch axis with x[None]"
        )
    operands["mask"] = None if mask is None else as_mask("rnn", mask)
    in_order = [operands[name] for name in given]
    return tuple(apply("rnn", f"{cell}_{which}", in_order, params, kernel=kernel))


def simple_rnn(
    x: ArrayLike,
    w: ArrayLike,
    u: ArrayLike,
    b: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    mask: ArrayLike | None = None,
    activation: str = "tanh",
    go_backwards: bool = False,
    processing_order: bool = False,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """Simple recurrent layer over sequences: ``h' = f(x w + h u + b)`` [1]_.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, T, C) or (N, T)
        N sequences of T steps; or whole numbers from 0 to C - 1, which stand for one-hot rows.
        Where a number is negative, or C or more, the output is NaN.
    w : array_like, shape (C, H)
    u : array_like, shape (H, H)
    b : array_like, shape (H,) or (2, H), optional
        Two rows are added: that of x w and that of h u.
    h0 : array_like, shape (N, H), optional
        The state before the first step; by default zeros.
    mask : array_like of bool or uint8, shape (N, T), optional
        0 where there is no step: the state stays as it is, and y repeats the output before, which
        is zeros until a sequence's first step.
    activation : {"tanh", "sigmoid", "relu", "linear"}
    go_backwards : bool
        Take the steps from the last time to the first.
    processing_order : bool
        ``y[:, s]`` is the output of the s-th step taken, not of time s.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("rnn", "simple_forward")``; by default one
        is chosen.

    Returns
    -------
    y : ndarray, shape (N, T, H)
        The outputs.
    h : ndarray, shape (N, H)
        The state after the last step.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes do not fit together, or there is no step.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990), 179-211.
    """
    params = rnn_params(activation, go_backwards=go_backwards, processing_order=processing_order)
    given = {"x": x, "w": w, "u": u, "b": b, "h0": h0, "mask": mask}
    y, h = _run("simple", "forward", given, params, kernel)
    return y, h


def simple_rnn_backward(
    x: ArrayLike,
    w: ArrayLike,
    u: ArrayLike,
    y: ArrayLike,
    *,
    dy: ArrayLike | None = None,
    dh: ArrayLike | None = None,
    b: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    activation: str = "tanh",
    go_backwards: bool = False,
    processing_order: bool = False,
    truncate: int = 0,
    kernel: str | None = None,
) -> tuple[Array, Array, Array, Array | None, Array | None]:
    """Gradients of `simple_rnn` by backpropagation through time [1]_.

    Parameters
    ----------
    x, w, u, b, h0, mask, activation, go_backwards, processing_order, kernel
        As in `simple_rnn`.
    y : array_like, shape (N, T, H)
        What it returned.
    dy, dh : array_like, optional
        Gradients with respect to y and h; absent ones are zeros.
    truncate : int
        Truncated backpropagation [2]_: the gradients of the states are cut every so many steps. 0
        goes back to the first step.

    Returns
    -------
    dx, dw, du : ndarray
        dx is None where x holds numbers.
    db, dh0 : ndarray or None
        None where b or h0 is not given.

    Raises
    ------
    TypeError, ValueError
        As `simple_rnn`; also for a bad `truncate`.

    References
    ----------
    .. [1] P. J. Werbos, "Backpropagation through time: what it does and how to do it",
       Proceedings of the IEEE 78 (1990), 1550-1560.
    .. [2] R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training
       of recurrent network trajectories", Neural Computation 2 (1990), 490-501.
    """
    params = rnn_params(
        activation,
        go_backwards=go_backwards,
        processing_order=processing_order,
        truncate=truncate,
    )
    given = {
        "dy": dy, "dh": dh, "x": x, "w": w, "u": u, "b": b, "h0": h0, "mask": mask, "y": y,
    }  # fmt: skip
    dx, dw, du, db, dh0 = _run("simple", "backward", given, params, kernel)
    return dx, dw, du, db, dh0


def lstm(
    x: ArrayLike,
    w: ArrayLike,
    u: ArrayLike,
    b: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    *,
    mask: ArrayLike | None = None,
    go_backwards: bool = False,
    processing_order: bool = False,
    kernel: str | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Long short-term memory over sequences [1]_, with forget gates [2]_.

    ``i, f, g, o = x w + h u + b`` pass through sigmoid, sigmoid, tanh, sigmoid; then
    ``c' = f c + i g`` and ``h' = o tanh(c')``.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, T, C)
    w : array_like, shape (C, 4 H)
        Column blocks in Keras's order: input gate, forget gate, candidate, output gate.
    u : array_like, shape (H, 4 H)
    b : array_like, shape (4 H,) or (2, 4 H), optional
    h0, c0 : array_like, shape (N, H), optional
        Output and cell state before the first step; by default zeros.
    mask, go_backwards, processing_order, kernel
        As in `simple_rnn`; the pass is "lstm_forward".

    Returns
    -------
    y : ndarray, shape (N, T, H)
        The outputs.
    h, c : ndarray, shape (N, H)
        Output and cell state after the last step.
    saved : ndarray, shape (N, T, 5 H)
        What `lstm_backward` needs: i, f, g, o and c' by the time of the input.

    Raises
    ------
    TypeError, ValueError
        As `simple_rnn`.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997),
       1735-1780.
    .. [2] F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget: continual prediction
       with LSTM", Neural Computation 12 (2000), 2451-2471.
    """
    params = rnn_params(go_backwards=go_backwards, processing_order=processing_order)
    given = {"x": x, "w": w, "u": u, "b": b, "h0": h0, "c0": c0, "mask": mask}
    y, h, c, saved = _run("lstm", "forward", given, params, kernel)
    return y, h, c, saved


def lstm_backward(
    x: ArrayLike,
    w: ArrayLike,
    u: ArrayLike,
    y: ArrayLike,
    saved: ArrayLike,
    *,
    dy: ArrayLike | None = None,
    dh: ArrayLike | None = None,
    dc: ArrayLike | None = None,
    b: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    go_backwards: bool = False,
    processing_order: bool = False,
    truncate: int = 0,
    kernel: str | None = None,
) -> tuple[Array, Array, Array, Array | None, Array | None, Array | None]:
    """Gradients of `lstm` by backpropagation through time.

    Parameters
    ----------
    x, w, u, b, h0, c0, mask, go_backwards, processing_order, kernel
        As in `lstm`.
    y, saved : array_like
        What it returned.
    dy, dh, dc : array_like, optional
        Gradients with respect to y, h and c; absent ones are zeros.
    truncate : int
        As in `simple_rnn_backward`.

    Returns
    -------
    dx, dw, du : ndarray
    db, dh0, dc0 : ndarray or None
        None where b, h0 or c0 is not given.

    Raises
    ------
    TypeError, ValueError
        As `simple_rnn_backward`.
    """
    params = rnn_params(
        go_backwards=go_backwards, processing_order=processing_order, truncate=truncate
    )
    given = {
        "dy": dy, "dh": dh, "dc": dc, "x": x, "w": w, "u": u, "b": b, "h0": h0, "c0": c0,
        "mask": mask, "y": y, "saved": saved,
    }  # fmt: skip
    dx, dw, du, db, dh0, dc0 = _run("lstm", "backward", given, params, kernel)
    return dx, dw, du, db, dh0, dc0


def gru(
    x: ArrayLike,
    w: ArrayLike,
    u: ArrayLike,
    b: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    *,
    mask: ArrayLike | None = None,
    reset_after: bool = True,
    go_backwards: bool = False,
    processing_order: bool = False,
    kernel: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gated recurrent unit over sequences [1]_: ``h' = z h + (1 - z) n``.

    ``z, r = sigmoid(x w + h u + b)``; the candidate n is ``tanh(x w_n + b0_n + r (h u_n + b1_n))``
    with `reset_after`, ``tanh(x w_n + (r h) u_n + b_n)`` without.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, T, C)
    w : array_like, shape (C, 3 H)
        Column blocks in Keras's order: update gate z, reset gate r, candidate n.
    u : array_like, shape (H, 3 H)
    b : array_like, optional
        Shape (2, 3 H) with `reset_after`: beside x w, and beside h u. Shape (3 H,) without.
    h0 : array_like, shape (N, H), optional
    reset_after : bool
    mask, go_backwards, processing_order, kernel
        As in `simple_rnn`; the pass is "gru_forward".

    Returns
    -------
    y : ndarray, shape (N, T, H)
        The outputs.
    h : ndarray, shape (N, H)
        The state after the last step.
    saved : ndarray, shape (N, T, 4 H), without `reset_after` (N, T, 3 H)
        What `gru_backward` needs: z, r, n, and ``h u_n + b1_n``, by the time of the input.

    Raises
    ------
    TypeError, ValueError
        As `simple_rnn`.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for
       statistical machine translation", EMNLP 2014, 1724-1734.
    """
    params = rnn_params(
        go_backwards=go_backwards, processing_order=processing_order, reset_after=reset_after
    )
    given = {"x": x, "w": w, "u": u, "b": b, "h0": h0, "mask": mask}
    y, h, saved = _run("gru", "forward", given, params, kernel)
    return y, h, saved


def gru_backward(
    x: ArrayLike,
    w: ArrayLike,
    u: ArrayLike,
    y: ArrayLike,
    saved: ArrayLike,
    *,
    dy: ArrayLike | None = None,
    dh: ArrayLike | None = None,
    b: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reset_after: bool = True,
    go_backwards: bool = False,
    processing_order: bool = False,
    truncate: int = 0,
    kernel: str | None = None,
) -> tuple[Array, Array, Array, Array | None, Array | None]:
    """Gradients of `gru` by backpropagation through time.

    Parameters
    ----------
    x, w, u, b, h0, mask, reset_after, go_backwards, processing_order, kernel
        As in `gru`.
    y, saved : array_like
        What it returned.
    dy, dh : array_like, optional
        Gradients with respect to y and h; absent ones are zeros.
    truncate : int
        As in `simple_rnn_backward`.

    Returns
    -------
    dx, dw, du : ndarray
        dx is None where x holds numbers.
    db, dh0 : ndarray or None
        None where b or h0 is not given.

    Raises
    ------
    TypeError, ValueError
        As `simple_rnn_backward`.
    """
    params = rnn_params(
        go_backwards=go_backwards,
        processing_order=processing_order,
        reset_after=reset_after,
        truncate=truncate,
    )
    given = {
        "dy": dy, "dh": dh, "x": x, "w": w, "u": u, "b": b, "h0": h0, "mask": mask, "y": y,
        "saved": saved,
    }  # fmt: skip
    dx, dw, du, db, dh0 = _run("gru", "backward", given, params, kernel)
    return dx, dw, du, db, dh0
