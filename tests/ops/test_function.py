"""function: the op that only Python runs, in its own dtype and as the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops import registry
from convkit.ops.apply import apply
from convkit.ops.function import UserFunction
from convkit.ops.registry import Array, Spec

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def cube(x: Array) -> Any:
    return x**3


def cube_gradient(dy: Array, y: Array, x: Array) -> Any:
    return dy * 3 * y / x


def forward(function: Any, x: Array = X, shape: tuple[int, ...] = X.shape, **options: Any) -> Array:
    params: dict[str, Any] = {"function": UserFunction("layer 'f' (Lambda)", function)}
    out = [Spec(shape, x.dtype.name)]
    y: Array = apply("function", "forward", [x], params, out=out, **options)[0]
    return y


def test_it_has_python_rows_only() -> None:
    for name in ("forward", "backward", "loss", "loss_backward"):
        rows = ck.ops.kernels("function", name)
        assert [row.name for row in rows] == ["python", "reference"]
        assert not any(row.native for row in rows)
    assert "function" not in ck.ops.ops() and ck.ops.ops(python_only=True) == ("function",)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_function_works_in_the_dtype_of_the_program(dtype: str) -> None:
    seen: list[Any] = []

    def watched(x: Array) -> Any:
        seen.append((x.dtype.name, x.flags.writeable))
        return cube(x)

    x = X.astype(dtype)
    np.testing.assert_array_equal(forward(watched, x), x**3)
    reference = forward(watched, x, kernel="reference")
    np.testing.assert_allclose(reference, x.astype(np.float64) ** 3, rtol=1e-6)
    assert [name for name, _ in seen] == [dtype, "float64"]
    assert not seen[0][1]  # nobody may write to a value of the program


def test_backward() -> None:
    function = UserFunction("f", cube, cube_gradient)
    params: dict[str, Any] = {"function": function}
    dy = np.ones_like(X)
    for kernel in ("python", "reference"):
        out = [Spec(X.shape)]
        dx = apply("function", "backward", [dy, X**3, X], params, out=out, kernel=kernel)[0]
        np.testing.assert_allclose(dx, 3 * X**2, rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "message", "function"),
    [
        (
            ValueError,
            r"'f' \(Lambda\): the function returned shape \(3,\), expected",
            lambda x: x[:, 0],
        ),
        (
            TypeError,
            r"'f' \(Lambda\): the function returned float64, expected an array of float32.*astype",
            lambda x: x.astype(np.float64),
        ),
        (TypeError, "returned int64", lambda x: x.astype(int)),
        (TypeError, "returned complex64", lambda x: x + np.complex64(1j)),
        (TypeError, "returned list", lambda x: x.tolist()),
        (TypeError, "returned NoneType", lambda x: None),
    ],
)
def test_results_that_do_not_fit_are_refused(error: Any, message: str, function: Any) -> None:
    with pytest.raises(error, match=message):
        forward(function)


class Mine(Exception):
    """Of the user's, with more than a message."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (lambda x: {}["k"], KeyError, "the function raised KeyError: 'k'"),
        (lambda x: x / (1 // 0), ZeroDivisionError, "the function raised ZeroDivisionError: "),
        (lambda x: b"\xff".decode(), UnicodeError, "raised UnicodeDecodeError: 'utf-8' codec"),
        (lambda x: np.linalg.inv(x), ValueError, "raised LinAlgError: "),
    ],
)
def test_what_the_function_raises_is_told_with_the_layers_name(
    broken: Any, error: Any, message: str
) -> None:
    with pytest.raises(error) as caught:
        forward(broken)
    text = str(caught.value.args[0])
    assert text.startswith("layer 'f' (Lambda): ") and message in text
    assert caught.value.__cause__ is not None


def test_an_exception_of_the_users_own_comes_through() -> None:
    raised = Mine(7)

    def broken(x: Array) -> Any:
        raise raised

    with pytest.raises(Mine) as caught:
        forward(broken)
    assert caught.value is raised and raised.code == 7
    assert raised.__notes__ == ["in the function of layer 'f' (Lambda)"]


def test_a_users_row_still_comes_first() -> None:
    registry.register("function", "twice", lambda ctx, x: 2 * x)
    try:
        np.testing.assert_array_equal(forward(cube), 2 * X)
    finally:
        registry.unregister("function", "twice")
