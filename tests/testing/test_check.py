"""check_kernel: right rows pass, planted mistakes fail and are named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import convkit as ck
from convkit.ops import registry
from convkit.ops.activation import activate
from convkit.ops.registry import Spec
from convkit.testing import check_kernel
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.check import check_rows
from convkit.testing.named_calls import calls_of

QUICK = {"layers": ["lenet"]}


def right(ctx, x, w, b):
    y = x @ w
    if b is not None:
        y = y + b
    return activate(y, ctx["activation"], ctx["alpha"])


def zeros(ctx, x, w, b):
    return np.zeros(ctx.out[0].shape, x.dtype)


def skips_last_row(ctx, x, w, b):
    y = np.array(right(ctx, x, w, b))
    y[-1:] = 0
    return y


def off(ctx, x, w, b):
    return right(ctx, x, w, b) + x.dtype.type(1e-3)


def off_in_one_place(ctx, x, w, b):
    y = np.array(right(ctx, x, w, b))
    if y.shape == (13, 19):
        y[7, 11] *= 1.001
    return y


def wrong_shape(ctx, x, w, b):
    return right(ctx, x, w, b)[..., :1]


def mutates(ctx, x, w, b):
    x *= 2
    return right(ctx, x / 2, w, b)


def mutates_on_the_sly(ctx, x, w, b):
    y = right(ctx, x, w, b)
    owner = x
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if owner.size:
        owner.reshape(-1)[0] += 1
    return y


def raises(ctx, x, w, b):
    raise RuntimeError("no room\nleft")


def ignores_the_activation(ctx, x, w, b):
    return x @ w if b is None else x @ w + b


def leaves_garbage(ctx, x, w, b):
    return np.full(ctx.out[0].shape, np.nan, x.dtype)


WRONG = {
    zeros: r"expected",
    skips_last_row: r"y\[12, \d+\] on primes",
    off: r"times the bound",
    off_in_one_place: r"y\[7, 11\] on primes: \S+, expected \S+ within",
    lambda ctx, x, w, b: None: "returned None",
    wrong_shape: "shape",
    mutates: "must not change its inputs in place",
    mutates_on_the_sly: "it changed its input x in place",
    raises: "RuntimeError: no room left on size 1",
    ignores_the_activation: "on with relu",
    leaves_garbage: "nan, expected",
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_kernel_passes(dtype):
    report = check_kernel("dense", right, dtype=dtype, **QUICK)
    assert report.passed and not report.failures and report.skipped == 0
    assert 0 <= report.worst.worst <= 1
    found = r"0\.\d+ of the bound, y\[.*\] on .*" if dtype == "float32" else "exact"
    assert re.fullmatch(rf"PASS  dense\.forward right {dtype}: {found}; \d+ cases", str(report))


@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wrong_kernel_fails_and_the_report_says_where(wrong, dtype):
    report = check_kernel("dense", wrong, dtype=dtype, **QUICK)
    assert not report.passed
    text = str(report)
    assert text.startswith("FAIL  dense.forward ") and f" {dtype}: " in text
    assert re.search(WRONG[wrong], text), text
    assert len(text.splitlines()) <= 10


def test_one_wrong_element_is_one_wrong_case():
    report = check_kernel("dense", off_in_one_place, **QUICK)
    assert {case.name for case in report.failures} == {"primes", "primes, integers"}
    assert report.worst.name == "primes, integers" and report.worst.tolerance == 0
    assert report.worst.position == (7, 11) and "exactly" in str(report.worst)
    assert report.worst.value == pytest.approx(1.001 * report.worst.expected)
    assert f"2 of {len(report.cases)} cases wrong" in report.line()


def test_integers_must_be_exact_where_the_bound_would_forgive():
    def rounds_once_more(ctx, x, w, b):
        y = right(ctx, x, w, b)
        return np.nextafter(y, np.inf).astype(y.dtype)

    report = check_kernel("dense", rounds_once_more, **QUICK)
    assert any(case.name.endswith("integers") for case in report.failures)


@pytest.mark.parametrize(
    ("op", "pass_name", "mistake"),
    [
        ("update", "sgd", lambda ctx, g, v, w: (v, w)),  # updates nothing
        ("update", "sgd", lambda ctx, g, v, w: w),  # forgets one
        ("update", "adam", lambda ctx, g, m, v, w: (m * 0, v * 0, w * 0)),
        ("concatenate", "backward", lambda ctx, dy: tuple(np.zeros(s.shape) for s in ctx.out)),
        ("pool2d", "max_forward", lambda ctx, x: (np.zeros(ctx.out[0].shape), None)),
        ("gather_rows", "forward", lambda ctx, x, i: np.zeros(ctx.out[0].shape)),
    ],
)
def test_idle_kernels_of_other_ops_fail(op, pass_name, mistake):
    report = check_kernel(op, mistake, pass_name=pass_name, layers=())
    assert not report.passed and report.failures


@pytest.mark.parametrize("op", registry.ops())
def test_every_row_of_the_build_passes_on_awkward_shapes(op):
    for p in registry.get(op).passes:
        # All rows of a pass at once: its reference and bounds are what takes the time.
        for report in check_rows(registry.kernels(op, p.name), layers=()):
            assert report.passed, str(report)
            assert len(report.cases) >= 6


def test_a_kernel_that_zeros_would_equal_everywhere_does_not_pass(monkeypatch):
    empty = [c for c in awkward_calls("add") if c.name == "empty batch"]
    monkeypatch.setattr("convkit.testing.check.awkward_calls", lambda op: empty)
    report = check_kernel("add", "cpu_naive", layers=())
    assert not report.passed and not report.failures
    assert "told it from zeros" in str(report)


def test_a_kernel_that_takes_no_case_does_not_pass():
    ck.ops.register("add", "half", lambda ctx, a, b: a + b, dtypes=("float64",))
    try:
        report = check_kernel("add", "half", layers=())
        assert not report.passed and "supports none of the" in str(report)
        assert check_kernel("add", "half", dtype="float64", layers=()).passed
    finally:
        ck.ops.unregister("add", "half")


def test_the_example_of_the_docs_passes(capsys):
    page = (Path(__file__).parents[2] / "docs" / "writing-a-kernel.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL).group(1)
    try:
        exec(compile(code, "writing-a-kernel.md", "exec"), {})
    finally:
        ck.ops.unregister("dense", "mine_einsum")
    assert capsys.readouterr().out.startswith("PASS  dense.forward mine_einsum float32: ")


def test_progress_and_layers():
    seen = []
    report = check_kernel("conv2d", "cpu_naive", layers=["lenet.conv2"], progress=seen.append)
    assert tuple(seen) == report.cases
    named = [case.name for case in seen if "lenet" in case.name]
    assert len(named) == 2 and all("lenet.conv2" in name for name in named)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": "cpu_niave"}, "has no kernel 'cpu_niave'; did you mean 'cpu_naive'"),
        ({"pass_name": "forwrd"}, "did you mean 'forward'"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"layers": ["resnet"]}, "no named layer contains 'resnet'"),
        ({"op": "danse"}, "did you mean 'dense'"),
    ],
)
def test_unknown_names_are_refused(arguments, message):
    given = {"op": "dense", "kernel": "cpu_naive", **arguments}
    with pytest.raises(ValueError, match=message):
        check_kernel(given.pop("op"), given.pop("kernel"), **given)


@pytest.mark.parametrize("op", registry.ops())
def test_calls_cover_every_pass_and_small_ones_are_small(op):
    passes = {p.name for p in registry.get(op).passes}
    for calls in (calls_of(op), calls_of(op, small=True), awkward_calls(op)):
        assert {c.pass_name for c in calls} == passes
        assert {c.op for c in calls} == {op}
    assert len(calls_of(op, small=True)) <= len(calls_of(op))
    assert max(c.flops for c in calls_of(op, small=True)) <= 200_000_000
    assert max(c.bytes for c in calls_of(op, small=True)) <= 32 << 20


def test_a_call_in_float64_has_the_same_values():
    call = next(c for c in awkward_calls("conv2d") if c.pass_name == "backward_weight")
    wide = call.at("float64")
    assert wide.specs[0] == Spec(call.specs[0].shape, "float64")
    assert all(s.dtype == "float64" for s in wide.outputs())
    for a, b in zip(call.arrays(), wide.arrays(), strict=True):
        assert a.dtype == np.float32 and b.dtype == np.float64
        assert np.array_equal(a, b)


def test_an_op_without_kernels_is_refused():
    with pytest.raises(ValueError, match=r"\[function\] has no kernels to check or to race"):
        check_kernel("function", "python")


def swallows_nan(ctx, x, w, b):
    y = right(ctx, np.where(np.isnan(x), 0, x), w, b)
    return y.astype(x.dtype)


def spreads_nan(ctx, x, w, b):
    y = np.array(right(ctx, x, w, b))
    return np.full_like(y, np.nan) if np.isnan(y).any() else y


def test_a_kernel_that_swallows_nan_is_wrong():
    report = check_kernel("dense", swallows_nan, **QUICK)
    assert not report.passed
    assert all(case.name.endswith(", a NaN") for case in report.failures)
    assert "expected nan" in str(report)


def test_a_kernel_may_give_more_of_it():
    report = check_kernel("dense", spreads_nan, **QUICK)
    assert report.passed, report
    assert any(case.name.endswith(", a NaN") for case in report.cases)
