"""Products on tensor cores: exact where operands need no rounding, and rounded right elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.cuda import native as cuda
from convkit.ops import registry
from convkit.ops.choosing import Policy, consider
from convkit.ops.conv2d import conv2d_params
from convkit.ops.dense import dense_params
from convkit.ops.products import Product, rounded_units
from convkit.ops.registry import Array, Spec
from ops.harness import Case, check_row, integers
from ops.test_conv2d import conv_cases
from ops.test_dense import dense_cases

needs_cuda = pytest.mark.skipif(bool(cuda.why_unavailable()), reason="there is no GPU")
KERNELS = ("cuda_mma_tf32", "cuda_mma_bf16")

# All stages of shared memory again, groups, numbers that come in fours and others: in one tile.
TINY = [
    *dense_cases("one tile", (70,), 70, 5, fill=integers)[:3],
    *conv_cases("fours, groups", (1, 6, 7, 8), (3, 3, 4, 16), groups=2, padding=1, fill=integers),
]
# Both tiles, a second one below and beside the first, parts of the sums.
EXACT = [
    *dense_cases("two tiles each way", (130,), 70, 132, activation="relu", fill=integers)[:3],
    *dense_cases("odd, parts", (5,), 307, 67, fill=integers)[:3],
    *dense_cases("parts of dw", (300,), 4, 8, bias=False, fill=integers)[:3],
    *conv_cases("first layer, stride", (3, 9, 8, 3), (5, 4, 3, 66), stride=2, fill=integers),
    *conv_cases("dilation, 1 x 1 stride", (2, 9, 9, 5), (3, 2, 5, 7), dilation=3, fill=integers),
    *conv_cases("parts, two tiles", (3, 7, 7, 33), (3, 3, 33, 4), padding=1, fill=integers),
]  # fmt: skip


@needs_cuda
@pytest.mark.parametrize(
    ("kernel", "case"),
    # The sanitizers take tests with -cuda_ in their names: those of one tile.
    [pytest.param(k, c, id=f"{c.pass_name}-{k}-{c.name}") for c in TINY for k in KERNELS]
    + [pytest.param(k, c, id=f"{k} {c.pass_name} {c.name}") for c in EXACT for k in KERNELS],
)
def test_small_integers_are_exact(kernel: str, case: Case) -> None:
    table = registry.kernels(case.op, case.pass_name, device="cuda")
    (row,) = (row for row in table if row.name == kernel)
    assert not row.exact and row.precision in kernel
    check_row(row, case, exact=True)


def rounded(x: Array, kernel: str) -> Array:
    """To TF32, ties away from zero, or to BF16, ties to even."""
    u = x.view(np.uint32)
    if "tf32" in kernel:
        u = (u + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    else:
        u = (u + np.uint32(0x7FFF) + (u >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return u.view(np.float32)


@needs_cuda
@pytest.mark.parametrize("kernel", KERNELS)
def test_operands_are_rounded_to_nearest(kernel: str) -> None:
    x = np.random.default_rng(0).standard_normal((20, 16)).astype(np.float32)
    step = 2.0**-10 if "tf32" in kernel else 2.0**-7
    x[0] = 1 + np.arange(16) * step / 4  # with ties
    x[1] = -x[0]
    expected, one = rounded(x, kernel), np.eye(16, dtype=np.float32)
    assert np.abs(expected - x).max() > 0 and len(np.unique(expected[0])) == 5
    np.testing.assert_array_equal(ck.ops.dense(x, one, kernel=kernel), expected)
    np.testing.assert_array_equal(ck.ops.dense(one, x.T.copy(), kernel=kernel), expected.T)


def test_bounds_of_rounded_operands() -> None:
    for precision, bits in (("tf32", 11), ("bf16", 8)):
        alone = rounded_units(0, precision)  # of a product: two roundings
        assert alone == pytest.approx(2 * 2.0**-bits * 2**24, rel=2.0**-bits)
        assert rounded_units(100, precision) > alone + 200


# Which row is chosen.


def call(op: str, *shapes: tuple[int, ...] | None, **params: Any) -> Any:
    specs = [None if s is None else Spec(s) for s in shapes]
    made = conv2d_params(shapes[0], shapes[1], **params) if op == "conv2d" else dense_params()  # type: ignore[arg-type]
    return op, "forward", specs, made


LARGE = call("dense", (256, 512), (512, 256), None, (256, 256))
SMALL = call("dense", (64, 512), (512, 10), None, (64, 10))
IMAGES = call("conv2d", (8, 28, 28, 64), (3, 3, 64, 96), None, (8, 26, 26, 96))


def chosen(which: Any, **options: Any) -> str:
    return consider(*which, Policy(device="cuda", **options)).row.name


@needs_cuda
@pytest.mark.parametrize("which", [LARGE, IMAGES], ids=["dense", "conv2d"])
def test_they_are_chosen_where_they_are_allowed(which: Any) -> None:
    assert "ffma" in chosen(which)
    assert chosen(which, allow_tf32=True) == "cuda_mma_tf32"
    assert chosen(which, allow_bf16=True) == "cuda_mma_bf16"
    assert chosen(which, allow_tf32=True, allow_bf16=True) == "cuda_mma_bf16"
    assert "ffma" in chosen(which, allow_tf32=True, allow_bf16=True, exact=True)
    # Of some 550 terms, the error bound of TF32 is 30 times that of the pass, BF16's 240 times.
    assert chosen(which, allow_tf32=True, allow_bf16=True, max_error=100) == "cuda_mma_tf32"
    assert "ffma" in chosen(which, allow_tf32=True, allow_bf16=True, max_error=10)


@needs_cuda
def test_not_for_small_products_or_empty_tiles() -> None:
    assert "ffma" in chosen(SMALL, allow_tf32=True)
    assert not Product(128, 10, 10_000).suits_tensor_cores
    assert not Product(16, 16, 16).suits_tensor_cores
    assert Product(128, 128, 128).suits_tensor_cores
    assert Product(100_000, 64, 27).suits_tensor_cores


@needs_cuda
def test_why_they_were_left_out_is_told() -> None:
    found = consider(*LARGE, Policy(device="cuda", allow_bf16=True, max_error=10))
    remarks = {c.name: found.remark(c) for c in found.candidates}
    assert remarks["cuda_mma_tf32"] == "rounds to TF32, which takes allow_tf32=True"
    assert remarks["cuda_mma_bf16"].startswith("max_error=10: its error bound is")


@needs_cuda
def test_a_name_is_leave_enough() -> None:
    assert chosen(SMALL, kernels={"dense": "cuda_mma_tf32"}) == "cuda_mma_tf32"
    assert chosen(SMALL, recorded={"dense": "cuda_mma_bf16"}) == "cuda_mma_bf16"
    with pytest.raises(ValueError, match="exact: it has an error bound of its own"):
        text = consider(*SMALL, Policy(device="cuda")).text
        chosen(SMALL, kernels={text: "cuda_mma_tf32"}, exact=True)


@pytest.mark.parametrize("option", ["allow_tf32", "allow_bf16"])
def test_switches_are_checked(option: str) -> None:
    with pytest.raises(TypeError, match=f"compile: {option} must be True or False, not 1"):
        Policy.make(**{option: 1})
    assert getattr(Policy.make(**{option: True}), option)
    assert not Policy.make().allows("tf32") and not Policy.make().allows("bf16")
    assert Policy.make(**{option: True}).arguments()[option] is True
