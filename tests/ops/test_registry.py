"""The tables of all ops together, registered kernels, and ck.reference."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.registry import Array, Context


def test_the_ops_are_those_of_the_native_module() -> None:
    assert set(ck.ops.ops()) == set(_core.ops())


@pytest.mark.parametrize("op", _core.ops())
def test_table(op: str) -> None:
    """Native rows in their order, the reference last; every native pass has a Python one."""
    for p in registry.get(op).passes:
        rows = ck.ops.kernels(op, p.name)
        native = [r["name"] for r in _core.kernels(op) if r["pass"] == p.name]
        assert [r.name for r in rows] == [*native, "reference"]
        assert native, f"{op}.{p.name} has no native row"
    known = {p.name for p in registry.get(op).passes}
    assert {r["pass"] for r in _core.kernels(op)} == known


def doubled(ctx: Context, a: Array, b: Array) -> Array:
    return 2 * (a + b)


def test_a_registered_kernel_comes_first_and_goes_again() -> None:
    a = np.ones(3, np.float32)
    row = ck.ops.register("add", "mine", doubled)
    try:
        assert ck.ops.kernels("add")[0] is row and not row.native
        np.testing.assert_array_equal(ck.ops.add(a, a), 4 * a)
        np.testing.assert_array_equal(ck.ops.add(a, a, kernel="reference"), 2 * a)
        with pytest.raises(ValueError, match="already has a kernel 'mine'"):
            ck.ops.register("add", "mine", doubled)
    finally:
        ck.ops.unregister("add", "mine")
    np.testing.assert_array_equal(ck.ops.add(a, a), 2 * a)


def test_a_registered_kernel_takes_its_dtypes_only() -> None:
    ck.ops.register("add", "mine", doubled, dtypes=("float64",))
    try:
        a = np.ones(3, np.float32)
        np.testing.assert_array_equal(ck.ops.add(a, a), 2 * a)
        with pytest.raises(ValueError, match="mine does not support float32"):
            ck.ops.add(a, a, kernel="mine")
    finally:
        ck.ops.unregister("add", "mine")


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("unknown op 'conv'", lambda: ck.ops.kernels("conv")),
        ("has no pass 'backwards'", lambda: ck.ops.kernels("conv2d", "backwards")),
        ("has no registered kernel", lambda: ck.ops.unregister("add", "cpu_naive")),
        ("has no registered kernel", lambda: ck.ops.unregister("add", "reference")),
        ("unknown op", lambda: ck.ops.register("multiply", "mine", doubled)),
    ],
)
def test_errors(message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call()


FUNCTIONS = [
    n for n in ck.ops.__all__ if "kernel" in inspect.signature(getattr(ck.ops, n)).parameters
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_reference_has_every_function(name: str) -> None:
    reference = getattr(ck.reference, name)
    assert inspect.signature(reference) == inspect.signature(getattr(ck.ops, name))
    assert reference.__doc__ == getattr(ck.ops, name).__doc__
    assert name in ck.reference.__all__


def test_reference_works_in_float64() -> None:
    x, w = np.ones((1, 4, 4, 2), np.float32), np.ones((3, 3, 2, 3), np.float32)
    assert ck.reference.conv2d(x, w, padding=1).dtype == np.float64
    assert ck.reference.conv2d(x.tolist(), w, padding=((1, 0), (0, 1))).dtype == np.float64
    assert ck.reference.relu([1, -2]).tolist() == [1.0, 0.0]
    assert ck.reference.concatenate([x, x]).dtype == np.float64
    losses, total = ck.reference.loss([[1, 2], [3, 4]], [0, 1], "softmax_cross_entropy")
    assert losses.dtype == np.float64 and total == losses.sum()
    assert ck.reference.gather_rows(np.arange(3, dtype=np.uint8)).dtype == np.float64
    with pytest.raises(AttributeError, match="no function 'conv3d'"):
        ck.reference.conv3d  # noqa: B018


def test_every_function_of_an_op_is_public() -> None:
    folder = Path(ck.ops.__file__).parent
    for op in ck.ops.ops():
        files = [folder / f"{op}.py", *folder.glob(f"{op}_*.py")]  # a large op has several
        modules = [importlib.import_module(f"convkit.ops.{file.stem}") for file in files]
        public = [
            name
            for module in modules
            for name, function in vars(module).items()
            if inspect.isfunction(function)
            and function.__module__ == module.__name__
            and "kernel" in inspect.signature(function).parameters
            and not name.startswith("_")
        ]
        assert public and set(public) <= set(ck.ops.__all__), op


X, W = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
WRONG = {
    "nothing": (lambda ctx, x, w, b: None, "returned None for y"),
    "shape": (lambda ctx, x, w, b: (x @ w)[:1], r"y of shape \(1, 4\), expected \(2, 4\)"),
    "complex": (lambda ctx, x, w, b: x @ w + 0j, "dtype complex64, expected float32"),
    "too many": (lambda ctx, x, w, b: (x @ w, x), "returned 2 arrays, expected 1: y"),
    "writes": (lambda ctx, x, w, b: np.multiply(x, 0, out=x) @ w, "read-only"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_kernel_that_breaks_the_promise_of_its_pass_is_refused(name: str) -> None:
    function, message = WRONG[name]
    ck.ops.register("dense", name, function)
    try:
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            ck.ops.dense(X, W, kernel=name)
        told = [str(caught.value), *getattr(caught.value, "__notes__", ())]
        assert any(f"kernel {name!r}" in text for text in told)
    finally:
        ck.ops.unregister("dense", name)
    assert (X == 1).all()


def test_register_checks_its_arguments() -> None:
    with pytest.raises(TypeError, match="a kernel is a function"):
        ck.ops.register("dense", "none", None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'float32'"):
        ck.ops.register("dense", "odd", lambda *_: None, dtypes=("flaot32",))
