"""loss: every row of every kind against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.loss import LABEL_LOSSES, LOSSES, loss_params
from convkit.ops.loss_formulas import (
    FOCAL_BINARY_LOSSES,
    FOCAL_LABEL_LOSSES,
    FOCAL_LOSSES,
    SMOOTHED,
    WHOLE_ROWS,
)
from convkit.ops.registry import Array, Spec
from ops.harness import (
    FLOAT,
    Case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, bits, each_row

CLASS_PROBABILITIES = ("cross_entropy", "focal_cross_entropy", "kl_divergence")
PROBABILITIES = (*CLASS_PROBABILITIES, "binary_cross_entropy", "binary_focal_cross_entropy")
POSITIVE = ("poisson", "squared_logarithmic_error", "absolute_percentage_error")


def predictions(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Array:
    """Logits of different spreads, or probabilities: certain ones, and some that do not add up."""
    spread = rng.choice([0.1, 1.0, 5.0, 30.0], (*shape[:-1], 1))
    logits = spread * rng.standard_normal(shape)
    if kind in CLASS_PROBABILITIES:
        e = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True) * rng.choice([1.0, 1.0, 0.7], spread.shape)
    if kind in PROBABILITIES:
        return np.asarray(1 / (1 + np.exp(-logits)))
    if kind in POSITIVE:
        return np.abs(logits) * rng.choice([0.0, 1.0, 1.0, 1.0], shape)
    return logits


def targets(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Array:
    """Numbers from 0 to 1, every third row 0 or 1; of -1 and 1 for the hinges."""
    t = rng.random(shape)
    rows = t.reshape(-1, shape[-1])
    rows[::3] = np.rint(rows[::3])
    return 2 * t - 1 if kind in ("hinge", "squared_hinge") else t


def loss_cases(
    name: str,
    kind: str,
    shape: tuple[int, ...],
    *,
    labels: bool = False,
    weighted: bool = False,
    smoothing: float = 0.0,
    scale: float = 1.0,
    spoilt: bool = False,
    trivial: bool = False,
    alphas: bool = False,
    **options: Any,
) -> list[Case]:
    """Both passes for p of that shape; `alphas`: one for each class."""
    rows = int(np.prod(shape[:-1]))
    weight = Spec((rows,), FLOAT) if weighted else None
    t = Spec((rows,), "int32") if labels else Spec(shape, FLOAT)

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        p = predictions(rng, kind, shape).astype(np.float32)
        if spoilt:
            p.reshape(-1, shape[-1])[[0, 2, 4], [0, -1, shape[-1] // 2]] = np.nan, np.inf, -np.inf
        t = rng.integers(0, shape[-1], rows) if labels else targets(rng, kind, shape)
        factors = rng.choice([0.0, 0.5, 1.0, 1.7], rows)
        each = rng.choice([0.0, 0.25, 1.0, 3.0], shape[-1]) if alphas else None
        return [p, t.astype(np.float32), factors if weighted else None, each]

    parts = [name, kind, "labels" if labels else "", "weights" if weighted else ""]
    parts += [f"smoothing {smoothing}" if smoothing else "", "alphas" if alphas else ""]
    name = " ".join([*filter(None, parts), *(f"{key} {v}" for key, v in options.items())])
    each = Spec(shape[-1:], FLOAT) if alphas else None
    params = loss_params(kind, smoothing, scale, **options)
    specs = (Spec(shape, FLOAT), t, weight, each)
    trivial = trivial or shape[-1] == 1 or rows <= 2  # one class, or a sure and right prediction
    return [
        Case(name, "loss", pass_name, specs, params, fill=fill, trivial=trivial)
        for pass_name in ("forward", "backward")
    ]


SHAPES = {
    "one value": (1, 1),
    "one class": (5, 1),
    "two classes": (7, 2),
    "no batch": (11,),
    "ten classes": (293, 10),
    "primes": (13, 17),
    "15": (4, 15),
    "33": (3, 33),
    "sequences": (2, 3, 31),
    "empty batch": (0, 4),
    "many classes": (3, 1009),
}
AWKWARD = [
    case
    for kind in LOSSES
    for labels in ((False, True) if kind in LABEL_LOSSES else (False,))
    for name, shape in SHAPES.items()
    for case in loss_cases(name, kind, shape, labels=labels, scale=1 / 3)
]
VARIANTS = [
    case
    for kind in LOSSES
    for labels in ((False, True) if kind in LABEL_LOSSES else (False,))
    for smoothing in ((0.1, 1.0) if kind in SMOOTHED else (0.0,))
    for case in loss_cases(
        "variant", kind, (19, 7), labels=labels, weighted=True, smoothing=smoothing, scale=-2.5
    )
]
PARAMETERS = [
    *({"kind": k, "gamma": g} for k in sorted(FOCAL_LOSSES) for g in (0.0, 0.5, 1.0, 4.5)),
    *({"kind": k, "alpha": 0.25} for k in sorted(FOCAL_LOSSES)),
    *({"kind": k, "alphas": True, "smoothing": 0.1} for k in sorted(FOCAL_LABEL_LOSSES)),
    *({"kind": k, "alphas": True, "labels": True} for k in sorted(FOCAL_LABEL_LOSSES)),
    *(
        {"kind": k, "alpha": a, "balanced": True, "gamma": g, "smoothing": s}
        for k in sorted(FOCAL_BINARY_LOSSES)
        for a, g, s in ((0.25, 2.0, 0.0), (1.0, 0.5, 0.2), (0.9, 0.0, 0.0))
    ),
    *({"kind": "huber", "delta": d} for d in (0.01, 0.5, 20.0)),
    *({"kind": k, "divisor": d} for k in sorted(set(LOSSES) - WHOLE_ROWS) for d in (1.0, 2.0)),
]
OPTIONS = [
    case
    for options in PARAMETERS
    for shape in ((19, 7), (6, 43))
    for case in loss_cases(f"{shape}", shape=shape, weighted=True, **options)  # type: ignore[arg-type]
]
MEDIUM = [case for kind in LOSSES for case in loss_cases("medium", kind, (4099, 11))]
# For the emulator of a GPU, where each case takes its time: rows for eight threads, in several
# blocks, for 32, and for a block; and none. "(19, 7)" is of `OPTIONS`.
ON_GPU = ("ten classes", "33", "many classes", "empty batch", "variant", "(19, 7)")


def on_gpu(row: Any, case: Case) -> bool:
    return row.device != "cuda" or case.name.startswith(ON_GPU)


SHAPE_ROWS = [p for p in row_cases([*AWKWARD, *VARIANTS, *OPTIONS]) if on_gpu(*p.values[:2])]


@pytest.mark.parametrize(("row", "case", "dtype"), SHAPE_ROWS)
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("loss", AWKWARD)


@given(
    st.sampled_from(LOSSES),
    st.lists(st.integers(0, 5), max_size=2),
    st.integers(1, 70),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.2]),
)
def test_drawn_shapes(
    kind: str, rows: list[int], k: int, labels: bool, weighted: bool, smoothing: float
) -> None:
    options: dict[str, Any] = {"weighted": weighted, "trivial": True}
    options["labels"] = labels and kind in LABEL_LOSSES
    if kind in SMOOTHED:
        options["smoothing"] = smoothing
    for case in loss_cases(f"{rows} {k}", kind, (*rows, k), **options):
        check_all_rows(case)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("kind", LOSSES)
def test_nan_and_inf(kind: str, labels: bool) -> None:
    for k in (2, 9, 37):
        options = {"labels": labels and kind in LABEL_LOSSES, "spoilt": True}
        for case in loss_cases("NaN", kind, (6, k), **options):
            check_all_rows(case)


@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    [p for p in row_cases(MEDIUM, native=True) if p.values[0].device != "cuda"],
)
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("kind", LOSSES)
def test_mutants(kind: str) -> None:
    for case in loss_cases("small", kind, (5, 4), labels=kind in LABEL_LOSSES):
        check_mutants(case)


GRADIENTS: list[dict[str, Any]] = [
    *({"kind": k} for k in LOSSES),
    *({"kind": k, "label_smoothing": 0.2} for k in LOSSES if k in SMOOTHED),
    *({"kind": k, "gamma": g, "alpha": 0.3} for k in sorted(FOCAL_LOSSES) for g in (0.5, 3.0)),
    *({"kind": k, "balanced": True, "alpha": 0.3} for k in sorted(FOCAL_BINARY_LOSSES)),
    *({"kind": k, "alpha": np.arange(5.0)} for k in sorted(FOCAL_LABEL_LOSSES)),
    {"kind": "huber", "delta": 0.45},
    {"kind": "squared_error", "divisor": 2.0},
]


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("options", GRADIENTS, ids=lambda o: " ".join(map(str, o.values())))
def test_gradients(options: dict[str, Any], labels: bool) -> None:
    rng = np.random.default_rng(0)
    kind = options["kind"]
    positive = kind in PROBABILITIES or kind in POSITIVE
    p = rng.uniform(0.2, 0.8, (4, 5)) if positive else rng.standard_normal((4, 5))
    use_labels = labels and kind in LABEL_LOSSES
    t = rng.integers(0, 5, 4) if use_labels else targets(rng, kind, (4, 5))
    if kind == "absolute_percentage_error":
        t = t + 0.5
    weight = rng.random(4)

    def total(v: Array) -> Array:
        return np.array(ck.ops.loss(v, t, weight=weight, kernel="reference", **options)[1])

    for losses, value, dp in each_row(
        "loss",
        "backward",
        lambda k: ck.ops.loss_backward(p, t, weight=weight, scale=0.25, kernel=k, **options),
    ):
        assert_gradient(dp, total, p, np.array(0.25))
        np.testing.assert_allclose(value, losses.sum(), rtol=1e-12)


def test_clipped_probabilities_have_no_gradient() -> None:
    p = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5]], np.float32)
    for dp in each_row(
        "loss",
        "backward",
        lambda k: ck.ops.loss_backward(p, p, "binary_cross_entropy", kernel=k)[2],
    ):
        assert (dp[:, :2] == 0).all() and np.isfinite(dp).all()


@pytest.mark.parametrize(
    ("kind", "t"),
    [("softmax_cross_entropy", [0, 0]), ("sigmoid_cross_entropy", np.eye(2, 3, dtype=np.float32))],
)
def test_far_logits_neither_overflow_nor_cancel(kind: str, t: Any) -> None:
    p = np.array([[1e4, 0.0, -1e4], [1e30, -1e30, 0.0]], np.float32)
    for losses, _, dp in each_row(
        "loss", "backward", lambda k: ck.ops.loss_backward(p, t, kind, kernel=k)
    ):
        assert np.isfinite(losses).all() and np.isfinite(dp).all()
    if kind == "softmax_cross_entropy":
        for losses, _ in each_row(
            "loss", "forward", lambda k: ck.ops.loss(p, [1, 0], kind, kernel=k)
        ):
            assert losses.tolist() == [1e4, 0.0]


def test_targets_in_all_forms_agree() -> None:
    rng = np.random.default_rng(0)
    p = rng.standard_normal((6, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 6)
    expected = bits(ck.ops.loss_backward(p, labels, "softmax_cross_entropy"))
    forms = [labels.astype(d) for d in (np.int8, np.uint8, np.int16, np.uint32, np.uint64)]
    forms += [labels.tolist(), labels[:, None], labels.astype(">i4"), np.repeat(labels, 2)[::2]]
    for t in forms:
        assert bits(ck.ops.loss_backward(p, t, "softmax_cross_entropy")) == expected
    one_hot = np.eye(4, dtype=np.float32)[labels]
    first = bits(ck.ops.loss_backward(p, one_hot, "softmax_cross_entropy"))
    for t in (one_hot.astype(np.int64), one_hot.astype(bool), one_hot.tolist()):
        assert bits(ck.ops.loss_backward(p, t, "softmax_cross_entropy")) == first
    column, flat = p[:, :1], one_hot[:, 0]
    assert bits(ck.ops.loss(column, flat, "sigmoid_cross_entropy")) == bits(
        ck.ops.loss(column, flat[:, None], "sigmoid_cross_entropy")
    )


def test_shapes_of_the_results() -> None:
    p = np.zeros((2, 3, 4), np.float32)
    losses, total, dp = ck.ops.loss_backward(p, np.zeros((2, 3), int), "softmax_cross_entropy")
    assert losses.shape == (2, 3) and isinstance(total, float) and dp.shape == p.shape
    np.testing.assert_allclose(losses, np.log(4), rtol=1e-6)


@pytest.mark.parametrize("kind", LOSSES)
def test_layouts(kind: str) -> None:
    rng = np.random.default_rng(0)
    p, t = rng.random((2, 5, 8)).astype(np.float32)
    weight = rng.random(5).astype(np.float32)
    assert_layouts(lambda p, t, w: ck.ops.loss_backward(p, t, kind, w), p, t, weight)


P, L = np.full((4, 10), 0.1, np.float32), np.arange(4)
LOSS = ck.ops.loss


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            r"label 11 at row 3 is outside 0\.\.9",
            lambda: LOSS(P, [0, 1, 2, 11], LOSSES[0]),
        ),
        (ValueError, "label -1 at row 0", lambda: LOSS(P, [-1, 1, 2, 3], LOSSES[0])),
        (ValueError, "label 4294967296", lambda: LOSS(P, L + (1 << 32), LOSSES[1])),
        (ValueError, "unknown kind 'crossentropy'; did you", lambda: LOSS(P, L, "crossentropy")),
        (ValueError, "expected integer labels of shape", lambda: LOSS(P, L[:3], LOSSES[0])),
        (ValueError, "expected integer labels", lambda: LOSS(P, L.astype("f4"), LOSSES[0])),
        (ValueError, "expected values of shape", lambda: LOSS(P, L, "squared_error")),
        (TypeError, "t has dtype float64", lambda: LOSS(P, P.astype("f8"), "squared_error")),
        (TypeError, "p has dtype int64", lambda: LOSS(P.astype(int), L, LOSSES[0])),
        (ValueError, "K >= 1", lambda: LOSS(P[:, :0], L, LOSSES[0])),
        (ValueError, "weight has shape", lambda: LOSS(P, L, LOSSES[0], weight=P[0])),
        (TypeError, "weight has dtype", lambda: LOSS(P, L, LOSSES[0], weight=np.ones(4))),
        (ValueError, "label_smoothing is 1.5", lambda: LOSS(P, L, LOSSES[0], label_smoothing=1.5)),
        (ValueError, "no label_smoothing", lambda: LOSS(P, P, LOSSES[4], label_smoothing=0.1)),
        (ValueError, "no kernel 'cuda'", lambda: LOSS(P, L, LOSSES[0], kernel="cuda")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_errors_of_programs() -> None:
    """What a program under construction is told by the shape rule."""
    infer = ck.ops.registry.get("loss")["forward"].infer
    p, labels = Spec((4, 10)), Spec((4,), "int32")
    for kind, t, weight, message in (
        ("squared_error", labels, None, "expected values"),
        ("cross_entropy", Spec((5,), "int32"), None, "labels have shape"),
        ("cross_entropy", Spec((4, 9)), None, "must be alike"),
        ("cross_entropy", labels, Spec((3,)), "weight is"),
        ("nothing", labels, None, "unknown kind"),
    ):
        with pytest.raises(ValueError, match=message):
            infer({"kind": kind}, [p, t, weight, None])
