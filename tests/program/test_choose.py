"""Choose: which row runs a call, by limits, names, predictions and measurements."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from convkit import _core
from convkit.ops import registry
from convkit.ops.choosing import Policy, call_text, choice, choose, consider, costs, tuning
from convkit.ops.choosing.policy import known_names
from convkit.ops.conv2d import conv2d_params
from convkit.ops.dense import dense_params
from convkit.ops.registry import Params, Spec, register, unregister

Call = tuple[str, str, list[Spec | None], Params]


def convolution(x: Any = (4, 14, 14, 64), w: Any = (3, 3, 64, 64), **options: Any) -> Call:
    params = conv2d_params(x, w, **{"padding": "same", **options})
    infer = registry.get("conv2d")["forward"].infer
    assert infer is not None
    inputs = [Spec(x), Spec(w), None]
    return "conv2d", "forward", [*inputs, *infer(params, inputs)], params


def dense(n: int = 8) -> Call:
    specs: list[Spec | None] = [Spec((n, 16)), Spec((16, 8)), None, Spec((n, 8))]
    return "dense", "forward", specs, dense_params(None)


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the cost model says, by name of the row; empty: nothing."""
    times: dict[str, float] = {}
    monkeypatch.setattr(choice, "predicted_seconds", lambda row, *_: times.get(row.name))
    return times


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    monkeypatch.setenv("CONVKIT_CACHE", str(tmp_path))
    tuning.forget()
    yield
    tuning.forget()


# Without measuring.


def test_the_table_s_order_decides_where_nothing_is_predicted(predicted: Any) -> None:
    found = consider(*convolution())
    assert (found.row.name, found.why) == ("cpu_winograd", "first in the table")
    # What the pass says of a row counts, too: this is one of few channels.
    assert consider(*convolution((4, 14, 14, 8), (3, 3, 8, 8))).row.name == "cpu_implicit_gemm"
    assert [c.name for c in found.candidates] == [
        row.name for row in registry.kernels("conv2d", "forward")
    ]


def test_the_shortest_prediction_is_chosen(predicted: dict[str, float]) -> None:
    predicted |= {"cpu_implicit_gemm": 3.0, "cpu_im2col": 2.0, "cpu_winograd": 4.0}
    predicted |= {"cpu_naive": 1.0, "reference": 1.0}  # never for their speed
    found = consider(*convolution())
    assert (found.row.name, found.why) == ("cpu_im2col", "predicted to be the fastest")
    slower = next(c for c in found.candidates if c.name == "cpu_implicit_gemm")
    assert found.remark(slower) == "predicted to take 1.50 times as long"
    assert found.remark(found.candidates[-1]) == "only where nothing else is left"
    predicted["cpu_im2col"] = 3.0  # as fast as another: the table's order
    assert consider(*convolution()).row.name == "cpu_implicit_gemm"


def test_a_single_fast_row_is_not_compared(predicted: dict[str, float]) -> None:
    specs: list[Spec | None] = [Spec((3, 5)), Spec((3, 5)), Spec((3, 5))]
    found = consider("add", "forward", specs, {})
    assert not found.open and found.chosen.predicted is None


def test_predictions_do_not_depend_on_threads() -> None:
    before = _core.num_threads()
    try:
        told = []
        for threads in (1, 2):
            _core.set_num_threads(threads)
            told.append([c.predicted for c in consider(*convolution()).candidates])
        assert told[0] == told[1]
    finally:
        _core.set_num_threads(before)


def test_what_a_row_lacks_is_said() -> None:
    found = consider(*convolution(stride=2, padding=1))
    why = {c.name: found.remark(c) for c in found.candidates}
    assert why["cpu_depthwise"].startswith("does not support more than one channel")
    assert why["cpu_winograd"] == "does not support stride 2"
    (op, name, specs, params) = convolution()
    double = [s and s._replace(dtype="float64") for s in specs]
    found = consider(op, name, double, params)
    assert {c.name: found.remark(c) for c in found.candidates}["cpu_winograd"] == (
        "does not support float64"
    )


def test_a_row_of_the_user_is_chosen_first() -> None:
    reference = registry.get("dense")["forward"].reference
    register("dense", "mine", reference)
    try:
        found = consider(*dense())
        assert (found.row.name, found.why) == ("mine", "registered by the user")
    finally:
        unregister("dense", "mine")
    assert consider(*dense()).row.native


# Limits.


def test_workspace_is_limited(predicted: dict[str, float]) -> None:
    call = convolution()
    rows = {c.name: c for c in consider(*call).candidates}
    predicted |= dict.fromkeys(rows, 1.0) | {"cpu_im2col": 0.5}
    large = rows["cpu_im2col"].workspace_bytes
    small = rows["cpu_implicit_gemm"].workspace_bytes
    assert small < large
    assert consider(*call).row.name == "cpu_im2col"
    limit = (large - 1) / 1e6
    found = consider(*call, Policy(max_workspace_mb=limit))
    assert found.row.name in ("cpu_implicit_gemm", "cpu_winograd")
    (refused,) = (c for c in found.candidates if c.name == "cpu_im2col")
    assert found.remark(refused) == f"workspace over {limit:g} MB"
    none = consider(*call, Policy(max_workspace_mb=0))
    assert (none.row.name, none.why) == ("cpu_naive", "the only one within the limits")


@pytest.mark.parametrize("pass_name", ["forward", "backward_input", "backward_weight"])
@pytest.mark.parametrize("taps", [3, 5])
def test_winograd_has_a_larger_bound(pass_name: str, taps: int) -> None:
    _, _, (x, w, _, y), params = convolution((4, 14, 14, 64), (taps, taps, 64, 64))
    operands = {"forward": [x, w, None, y], "backward_input": [y, w, None, x]}
    specs = operands.get(pass_name, [y, x, w, None])
    found = consider("conv2d", pass_name, specs, params)
    errors = {c.name: c.error for c in found.candidates}
    assert 0.3 < errors["cpu_winograd"] < 20
    assert all(e == 1 for name, e in errors.items() if name != "cpu_winograd")
    for policy in (Policy(exact=True), Policy(max_error=errors["cpu_winograd"] - 0.01)):
        assert consider("conv2d", pass_name, specs, params, policy).row.name != "cpu_winograd"
    limit = Policy(max_error=errors["cpu_winograd"], kernels={})
    (candidate,) = (
        c
        for c in consider("conv2d", pass_name, specs, params, limit).candidates
        if c.name == "cpu_winograd"
    )
    assert not candidate.ruled_out


def test_errors_are_limited(predicted: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    units = {"cpu_im2col": 12.0}
    monkeypatch.setattr(choice, "error_units", lambda row, *_: units.get(row.name, 1.0))
    predicted |= {"cpu_implicit_gemm": 3.0, "cpu_im2col": 2.0, "cpu_winograd": 4.0}
    call = convolution()
    for policy in (Policy(), Policy(max_error=12)):
        assert consider(*call, policy).row.name == "cpu_im2col"
    found = consider(*call, Policy(max_error=11.5))
    assert found.row.name == "cpu_implicit_gemm"
    (refused,) = (c for c in found.candidates if c.name == "cpu_im2col")
    assert found.remark(refused) == "max_error=11.5: its error bound is 12 times that of the pass"
    predicted["cpu_winograd"] = 1.0
    assert consider(*call).row.name == "cpu_winograd"
    for policy in (Policy(exact=True), Policy(exact=True, max_error=50)):
        found = consider(*call, policy)
        assert found.row.name != "cpu_winograd"
        (refused,) = (c for c in found.candidates if c.name == "cpu_winograd")
        assert found.remark(refused) == "exact: it has an error bound of its own"


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"exact": 1}, TypeError, "exact must be True or False, not 1"),
        ({"autotune": "yes"}, TypeError, "autotune must be True or False, not 'yes'"),
        ({"max_error": 0.5}, ValueError, "max_error is 0.5, expected at least 1"),
        ({"max_error": "3"}, TypeError, "max_error must be a number"),
        ({"max_workspace_mb": -1}, ValueError, "max_workspace_mb is -1"),
        ({"max_workspace_mb": float("nan")}, ValueError, "max_workspace_mb is nan"),
        ({"kernels": ["cpu_im2col"]}, TypeError, "kernels must be a dict of names"),
        ({"kernels": {"conv": "cpu_im2col"}}, ValueError, "no op 'conv'"),
        ({"kernels": {"conv2d.fwd": "cpu_im2col"}}, ValueError, "has no pass 'fwd'"),
        ({"kernels": {"conv2d": "cpu_im2cool"}}, ValueError, "did you mean 'cpu_im2col'"),
        ({"kernels": {"conv2d": 3}}, TypeError, "kernels must be a dict of names"),
    ],
)
def test_bad_values_are_refused(options: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        Policy.make(**options)


# Names.


def test_a_call_in_words_tells_calls_apart() -> None:
    grouped = convolution(w=(3, 3, 32, 64), groups=2)
    wide = convolution(w=(3, 3, 32, 64), x=(4, 14, 14, 32))
    other = convolution(stride=2, padding=1)
    assert len({call_text(*call) for call in (convolution(), grouped, wide, other)}) == 4
    text = call_text(*convolution(stride=2, padding=1))
    assert text == (
        "conv2d.forward(float32 4x14x14x64, 3x3x64x64, -, 4x7x7x64; stride=2, padding=1)"
    )
    specs: list[Spec | None] = [Spec((2, 3)), Spec((2,), "int32"), Spec(())]
    assert call_text("op", "pass", specs, {}) == "op.pass(float32 2x3, int32 2, ())"


def test_rows_are_named_by_call_by_pass_and_by_op() -> None:
    call, other = convolution(), convolution(stride=2, padding=1)
    for key in (call_text(*call), "conv2d.forward", "conv2d"):
        found = consider(*call, Policy.make(kernels={key: "cpu_im2col"}))
        assert (found.row.name, found.why) == ("cpu_im2col", "named in kernels")
    first = Policy.make(kernels={"conv2d": "cpu_naive", call_text(*call): "cpu_im2col"})
    assert consider(*call, first).row.name == "cpu_im2col"
    assert consider(*other, first).row.name == "cpu_naive"
    # By op or pass a row is taken where it supports the call.
    where = Policy.make(kernels={"conv2d": "cpu_depthwise"})
    assert consider(*call, where).row.name != "cpu_depthwise"
    with pytest.raises(ValueError, match="leave it out of kernels"):
        consider(*call, Policy.make(kernels={call_text(*call): "cpu_depthwise"}))


def test_recorded_names_that_are_not_here_are_told() -> None:
    text = call_text(*convolution())
    with pytest.raises(ValueError, match="this convkit has no such row"):
        Policy.make(kernels={text: "cuda_tensor_cores"})
    with pytest.warns(UserWarning, match=r"conv2d\.forward: cuda_tensor_cores"):
        assert known_names("model 'a'", {text: "cuda_tensor_cores", "dense": "cpu_tiled"}) == {
            "dense": "cpu_tiled"
        }
    assert known_names("model 'a'", None) == {}


def test_a_kernel_of_a_single_call_is_named_as_before() -> None:
    call = convolution()
    assert choose(*call, kernel="cpu_naive").name == "cpu_naive"
    with pytest.raises(ValueError, match="cpu_depthwise does not support"):
        choose(*call, kernel="cpu_depthwise")
    with pytest.raises(ValueError, match="did you mean 'cpu_naive'"):
        choose(*call, kernel="cpu_naif")


# Measuring.


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, float], list[list[str]]]:
    """Times that measuring finds, and what was measured."""
    times, calls = {}, []

    def measure(rows: Any, specs: Any, params: Any) -> dict[str, float]:
        calls.append([row.name for row in rows])
        return {row.name: times[row.name] for row in rows}

    monkeypatch.setattr(tuning, "measure_rows", measure)
    return times, calls


def test_what_is_measured_to_be_fastest_is_chosen_and_kept(measured: Any, predicted: Any) -> None:
    times, calls = measured
    times |= {"cpu_tiled": 2e-3, "cpu_blas": 1e-3}
    policy = Policy(autotune=True)
    for _ in range(2):
        found = consider(*dense(), policy)
        assert (found.row.name, found.why) == ("cpu_blas", "measured to be the fastest")
        tiled = next(c for c in found.candidates if c.name == "cpu_tiled")
        assert found.remark(tiled) == "measured to take 2.00 times as long"
    tuning.forget()  # as in another process: from the file
    assert consider(*dense(), policy).row.name == "cpu_blas"
    assert calls == [["cpu_tiled", "cpu_blas"]]
    consider(*dense(9), policy)  # another shape
    before = _core.num_threads()
    try:
        _core.set_num_threads(1 if before > 1 else 2)
        consider(*dense(), policy)
    finally:
        _core.set_num_threads(before)
    assert len(calls) == 3


def test_what_is_predicted_far_slower_is_not_measured(measured: Any, predicted: Any) -> None:
    times, calls = measured
    times |= dict.fromkeys(("cpu_winograd", "cpu_implicit_gemm", "cpu_im2col"), 1.0)
    predicted |= {"cpu_winograd": 1.0, "cpu_implicit_gemm": 2.0, "cpu_im2col": 30.0}
    found = consider(*convolution(), Policy(autotune=True))
    assert "cpu_im2col" not in [name for call in calls for name in call]
    slow = next(c for c in found.candidates if c.name == "cpu_im2col")
    assert found.remark(slow) == "predicted to take 30.00 times as long, so not measured"
    predicted["cpu_implicit_gemm"] = 40.0  # one is by far the fastest
    predicted["cpu_winograd"] = 1.0
    calls.clear()
    assert consider(*convolution(), Policy(autotune=True)).row.name == "cpu_winograd"
    assert calls == []


def test_limits_and_names_hold_when_measuring(measured: Any, predicted: Any) -> None:
    times, calls = measured
    times |= dict.fromkeys(("cpu_winograd", "cpu_implicit_gemm"), 2.0) | {"cpu_im2col": 1.0}
    call = convolution()
    assert consider(*call, Policy(autotune=True)).row.name == "cpu_im2col"
    limited = Policy(autotune=True, max_workspace_mb=0)
    assert consider(*call, limited).row.name == "cpu_naive"
    named = Policy(autotune=True, kernels={"conv2d": "cpu_naive"})
    assert consider(*call, named).why == "named in kernels"
    assert len(calls) == 1


def test_rows_of_the_user_are_measured_too() -> None:
    """For real: one sleeps."""
    reference = registry.get("dense")["forward"].reference
    ran = []

    def slow(ctx: Any, *inputs: Any) -> Any:
        ran.append(len(inputs))
        time.sleep(0.01)
        return reference(ctx, *inputs)

    register("dense", "slow", slow)
    try:
        found = consider(*dense(), Policy(autotune=True))
        assert ran and found.row.native and found.why == "measured to be the fastest"
        sleeper = found.candidates[0]
        assert sleeper.measured is not None and found.chosen.measured is not None
        assert sleeper.measured > found.chosen.measured
    finally:
        unregister("dense", "slow")


def test_an_error_in_a_row_names_it() -> None:
    def broken(ctx: Any, *inputs: Any) -> Any:
        raise ArithmeticError("no")

    register("dense", "broken", broken)
    try:
        with pytest.raises(ArithmeticError) as info:
            consider(*dense(), Policy(autotune=True))
        assert "'broken' of dense.forward" in str(info.value.__notes__)
    finally:
        unregister("dense", "broken")


def test_without_memory_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, predicted: Any
) -> None:
    from convkit.program import memory

    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    with pytest.warns(UserWarning, match=r"\[dense\] forward: its kernels are not measured"):
        assert consider(*dense(), Policy(autotune=True)).why == "first in the table"


# The model of costs.


def test_the_fitted_table_is_sound() -> None:
    table = costs._table()
    assert table["machine"]
    for passes in table["seconds"].values():
        for key, rows in passes.items():
            op, _, pass_name = key.partition(".")
            names = {row.name for row in registry.kernels(op, pass_name)}
            assert set(rows) <= names | {"cpu_im2col", "cpu_blas"}  # a build may lack OpenBLAS
            for fitted in rows.values():
                assert fitted and all(c >= 0 for c in fitted.values())


def test_features_count_what_is_done() -> None:
    op, pass_name, specs, params = convolution((2, 9, 7, 5), (3, 3, 5, 20))
    row = next(r for r in registry.kernels(op, pass_name) if r.name == "cpu_im2col")
    found = costs.features(row, specs, params)
    assert found["bytes"] == 4 * (2 * 63 * 5 + 9 * 5 * 20 + 2 * 63 * 20)
    assert found["columns"] == 2 * 63 * 9 * 5
    assert found["products"] >= 2 * 63 * 9 * 5 * 20
    double = [s and s._replace(dtype="float64") for s in specs]
    assert costs.features(row, double, params)["columns"] == 2 * found["columns"]
