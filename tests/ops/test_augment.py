"""augment: every row against the reference, and against what NumPy's slices and flips give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.augment import CENTRE, FILL_MODES, KINDS, augment_params, drawn_numbers
from convkit.ops.registry import Step
from convkit.random import uniform24
from convkit.testing.augment_calls import OPTIONS, augment
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.named_calls import calls_of
from ops.harness import (
    Case,
    as_case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row


def case_of(call: Any) -> Case:
    """Images without channels are nothing, and all of an image may be filled with zeros."""
    return as_case(call, trivial=True)


AWKWARD = [case_of(call) for call in awkward_calls("augment")]
NAMED = [case_of(call) for call in calls_of("augment", small=True)]
MEDIUM = [
    as_case(call)
    for name, (kind, options) in OPTIONS.items()
    for call in augment(f"medium, {name}", (9, 17, 19, 3), kind, **options)
]
RANDOM: Any = {"seed": 5, "step": 2, "stream": 1}
PIXELS = np.random.default_rng(0).standard_normal((6, 5, 7, 3))


def numbers_of(kind: str, count: int = len(PIXELS), **options: Any) -> Any:
    params = augment_params(kind, stream=1, **options)
    return drawn_numbers(params, Step(step=2, seed=5), count)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


def test_every_row_has_a_case() -> None:
    check_coverage("augment", AWKWARD)


@given(st.data())
def test_drawn_shapes(data: st.DataObject) -> None:
    shape = (*(data.draw(st.integers(m, 6)) for m in (0, 1, 1)), data.draw(st.integers(0, 9)))
    kind = data.draw(st.sampled_from([k for k in KINDS if k != "crop"]))
    low, high = (0.0, 1.0) if kind == "flip" else (-0.9, 0.9)
    ranges = st.tuples(st.floats(low, high), st.floats(low, high)).map(lambda r: tuple(sorted(r)))
    options = {
        "height": data.draw(ranges),
        "width": data.draw(st.none() | ranges),
        "interpolation": data.draw(st.sampled_from(["nearest", "bilinear"])),
        "fill_mode": data.draw(st.sampled_from(FILL_MODES)),
        "fill_value": data.draw(st.sampled_from([0.0, 0.1, -3.0])),
    }
    for call in augment(f"{shape} {kind} {options}", shape, kind, **options):
        check_all_rows(case_of(call))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)
    check_row(row, case, dtype)


def test_mutants() -> None:
    for kind, options in OPTIONS.values():
        for call in augment("small", (3, 4, 5, 2), kind, **options):
            check_mutants(as_case(call))


def test_the_numbers_are_uniform_and_independent() -> None:
    r, s = numbers_of("shift", 20000, height=(-0.5, 0.25), width=(0, 1)).T
    for values, low, high in ((r, -0.5, 0.25), (s, 0.0, 1.0)):
        assert low <= values.min() < low + 0.001 and high - 0.001 < values.max() < high
        assert abs(values.mean() - (low + high) / 2) < 0.01
    assert abs(np.corrcoef(r, s)[0, 1]) < 0.03
    u = uniform24(5, 1, 2, 40000)
    np.testing.assert_array_equal(s, u[1::2])
    same = numbers_of("zoom", 9, height=(0, 1), width=None)
    np.testing.assert_array_equal(same[:, 0], same[:, 1])


def test_numbers_follow_from_seed_step_stream_and_place() -> None:
    def run(x: Any, **changed: Any) -> Any:
        options = {**RANDOM, **changed}
        return ck.ops.augment(x, "shift", (-1, 1), (-1, 1), **options)

    first = run(PIXELS)
    np.testing.assert_array_equal(run(PIXELS), first)
    np.testing.assert_array_equal(run(PIXELS[:3]), first[:3])
    for name in RANDOM:
        assert (run(PIXELS, **{name: 9}) != first).any()


def test_flips_are_numpys() -> None:
    numbers = numbers_of("flip", 40, height=(0, 1), width=(0, 1))
    assert len(np.unique(numbers >= 0.5, axis=0)) == 4
    x = np.random.default_rng(0).standard_normal((40, 5, 7, 3))
    expected = x.copy()
    for n, (r, s) in enumerate(numbers):
        expected[n] = expected[n, ::-1] if r >= 0.5 else expected[n]
        expected[n] = expected[n, :, ::-1] if s >= 0.5 else expected[n]
    for y in each_row(
        "augment",
        "forward",
        lambda k: ck.ops.augment(x, "flip", (0, 1), (0, 1), **RANDOM, kernel=k),
    ):
        np.testing.assert_array_equal(y, expected)
    for width, want in (((1, 1), x[:, :, ::-1]), ((0, 0), x)):
        np.testing.assert_array_equal(ck.ops.augment(x, "flip", width=width, **RANDOM), want)


@pytest.mark.parametrize(
    ("fill_mode", "padding"),
    [
        ("constant", {"mode": "constant", "constant_values": 1.5}),
        ("nearest", {"mode": "edge"}),
        ("reflect", {"mode": "symmetric"}),
        ("wrap", {"mode": "wrap"}),
    ],
)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_whole_shifts_are_slices_of_padded_images(
    fill_mode: str, padding: Any, interpolation: str
) -> None:
    padded = np.pad(PIXELS, ((0, 0), (8, 8), (8, 8), (0, 0)), **padding)
    for down, right in ((0, 0), (2, -3), (-4, 1), (5, 7), (-1, 0)):
        expected = padded[:, 8 - down : 13 - down, 8 - right : 15 - right]
        for y in each_row(
            "augment",
            "forward",
            lambda k, d=down, r=right: ck.ops.augment(
                PIXELS, "shift", (d / 5, d / 5), (r / 7, r / 7), interpolation=interpolation,
                fill_mode=fill_mode, fill_value=1.5, **RANDOM, kernel=k,
            ),
        ):  # fmt: skip
            whole = 5 * (down / 5) == down and 7 * (right / 7) == right
            np.testing.assert_allclose(y, expected, rtol=0, atol=0 if whole else 1e-13)


def test_drawn_whole_shifts() -> None:
    numbers = numbers_of("shift", height=(-0.5, 0.5), width=(-0.5, 0.5))
    y = ck.ops.augment(
        PIXELS, "shift", (-0.5, 0.5), (-0.5, 0.5), interpolation="nearest",
        fill_mode="constant", **RANDOM,
    )  # fmt: skip
    padded = np.pad(PIXELS, ((0, 0), (8, 8), (8, 8), (0, 0)))
    for n, (r, s) in enumerate(numbers):
        top, left = (int(np.floor(8 - size * v + 0.5)) for size, v in ((5, r), (7, s)))
        np.testing.assert_array_equal(y[n], padded[n, top : top + 5, left : left + 7])


def test_crops_are_slices() -> None:
    numbers = numbers_of("crop", 60, height=(0, 1), width=(0, 1), size=(3, 4))
    x = np.random.default_rng(0).standard_normal((60, 5, 7, 2))
    y = ck.ops.augment(x, "crop", (0, 1), (0, 1), size=(3, 4), **RANDOM)
    places = {(int(3 * r), int(4 * s)) for r, s in numbers}
    assert len(places) == 12
    for n, (r, s) in enumerate(numbers):
        top, left = int(3 * r), int(4 * s)
        np.testing.assert_array_equal(y[n], x[n, top : top + 3, left : left + 4])
    last = ck.ops.augment(x, "crop", (1, 1), (1, 1), size=(3, 4), **RANDOM)
    np.testing.assert_array_equal(last, x[:, 2:, 3:])


@pytest.mark.parametrize("size", range(1, 8))
def test_the_middle(size: int) -> None:
    x = np.arange(49.0).reshape(1, 7, 7, 1)
    y = ck.ops.augment(x, "crop", (CENTRE, CENTRE), None, size=size, **RANDOM)
    begin = (7 - size) // 2
    np.testing.assert_array_equal(y, x[:, begin : begin + size, begin : begin + size])


def test_half_pixels_are_means() -> None:
    x = np.array([2.0, 4.0, 10.0, 12.0]).reshape(1, 1, 4, 1)
    y = ck.ops.augment(x, "shift", width=(1 / 8, 1 / 8), **RANDOM)
    np.testing.assert_array_equal(y.ravel(), [2, 3, 7, 11])
    y = ck.ops.augment(x, "shift", width=(1 / 8, 1 / 8), fill_mode="constant", **RANDOM)
    np.testing.assert_array_equal(y.ravel(), [1, 3, 7, 11])


def test_zoom_keeps_the_middle() -> None:
    h, w = np.mgrid[:5, :7].astype(float)
    plane = (2 * h - 3 * w)[None, :, :, None]
    y = ck.ops.augment(plane, "zoom", (-0.5, -0.5), None, **RANDOM)[0, :, :, 0]
    expected = 2 * (2 + (h - 2) / 2) - 3 * (3 + (w - 3) / 2)
    np.testing.assert_allclose(y, expected, atol=1e-13)
    small = ck.ops.augment(plane + 1, "zoom", (1, 1), None, fill_mode="constant", **RANDOM)
    assert (small[0, 0] == 0).all() and (small[0, 2, 3] == plane[0, 2, 3] + 1).all()


def test_quarter_turns_are_numpys() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 5, 3))
    for quarters in (-1, 0, 1, 2):
        turn = (quarters / 4, quarters / 4)
        expected = np.rot90(x, quarters, axes=(1, 2))  # counter-clockwise
        for interpolation, bound in (("nearest", 0.0), ("bilinear", 1e-13)):
            y = ck.ops.augment(x, "rotate", turn, interpolation=interpolation, **RANDOM)
            np.testing.assert_allclose(y, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "crop"])
def test_gradient(kind: str) -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 3, 4, 2))
    reach: Any = (0, 1) if kind == "flip" else (-0.4, 0.8)
    for fill_mode in FILL_MODES:
        for dx in each_row(
            "augment",
            "backward",
            lambda k, f=fill_mode: ck.ops.augment_backward(
                dy, kind, reach, reach, fill_mode=f, **RANDOM, kernel=k
            ),
        ):
            assert_gradient(
                dx,
                lambda v, f=fill_mode: ck.ops.augment(v, kind, reach, reach, fill_mode=f, **RANDOM),
                x,
                dy,
            )


def test_gradient_of_a_crop() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 4, 5, 2)), rng.standard_normal((2, 2, 3, 2))
    got = ck.ops.augment_backward(dy, "crop", (0, 1), (0, 1), shape=(4, 5), **RANDOM)
    assert_gradient(
        got, lambda v: ck.ops.augment(v, "crop", (0, 1), (0, 1), size=(2, 3), **RANDOM), x, dy
    )


def test_pixels_of_weight_zero_are_not_read() -> None:
    x = np.ones((1, 3, 3, 1))
    x[0, :, 2] = np.nan
    for y in each_row(
        "augment",
        "forward",
        lambda k: ck.ops.augment(x, "shift", (0.1, 0.1), (1 / 3, 1 / 3), **RANDOM, kernel=k),
    ):
        assert np.isfinite(y).all()


def test_layouts() -> None:
    x = PIXELS.astype(np.float32)
    assert_layouts(lambda v: ck.ops.augment(v, "shift", (-0.3, 0.3), **RANDOM), x)
    assert_layouts(lambda v: ck.ops.augment_backward(v, "shift", (-0.3, 0.3), **RANDOM), x)


X = np.ones((2, 6, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: ck.ops.augment(X.astype(int), "flip", seed=0)),
        (ValueError, "x must have 4 dimensions", lambda: ck.ops.augment(X[0], "flip", seed=0)),
        (ValueError, "did you mean 'flip'", lambda: ck.ops.augment(X, "flipp", seed=0)),
        (
            ValueError,
            "fill_mode must be one of 'constant', .* got 'reflekt'.*did you mean 'reflect'",
            lambda: ck.ops.augment(X, "shift", fill_mode="reflekt", seed=0),
        ),
        (
            ValueError,
            "interpolation must be one of",
            lambda: ck.ops.augment(X, "shift", interpolation="cubic", seed=0),
        ),
        (
            ValueError,
            r"height is \(0.5, 0.2\), expected two numbers from -1 to 1 for 'shift'",
            lambda: ck.ops.augment(X, "shift", (0.5, 0.2), seed=0),
        ),
        (ValueError, "from -0.99 to 100", lambda: ck.ops.augment(X, "zoom", (-1, 0), seed=0)),
        (ValueError, "expected two", lambda: ck.ops.augment(X, "zoom", (np.nan, 0), seed=0)),
        (TypeError, "must be two numbers", lambda: ck.ops.augment(X, "zoom", 0.2, seed=0)),
        (ValueError, "size belongs to a crop", lambda: ck.ops.augment(X, "zoom", size=3, seed=0)),
        (ValueError, "size belongs to a crop", lambda: ck.ops.augment(X, "crop", seed=0)),
        (
            ValueError,
            "a crop of 3 x 5 pixels does not fit into images of 6 x 4",
            lambda: ck.ops.augment(X, "crop", size=(3, 5), seed=0),
        ),
        (
            ValueError,
            "a crop of 6 x 4 pixels does not fit into images of 5 x 5",
            lambda: ck.ops.augment_backward(X, "crop", shape=5, seed=0),
        ),
        (ValueError, "finite", lambda: ck.ops.augment(X, "shift", fill_value=np.inf, seed=0)),
        (ValueError, "seed is -1", lambda: ck.ops.augment(X, "flip", seed=-1)),
        (ValueError, "stream is -1", lambda: ck.ops.augment(X, "flip", seed=0, stream=-1)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
