"""The edge of the op functions: operands, masks and channels are checked in one place."""

from __future__ import annotations

import numpy as np
import pytest

import convkit as ck
from convkit.ops.apply import as_mask, as_operands, check_channels
from convkit.ops.registry import Spec


def test_operands_keep_their_order_and_their_gaps() -> None:
    x, b = np.ones((2, 3), ">f4")[:, ::2], [1.0, 2.0]
    found = as_operands("op", x=x, w=None, b=b)
    assert found[1] is None and found[0] is not None and found[2] is not None
    assert found[0].dtype == found[2].dtype == np.float32
    assert found[0].flags.c_contiguous and found[0].dtype.isnative
    np.testing.assert_array_equal(found[0], [[1, 1], [1, 1]])
    with pytest.raises(TypeError, match=r"\[op\] operands have different dtypes \(x float32, b fl"):
        as_operands("op", x=x, w=None, b=np.ones(3))


@pytest.mark.parametrize("mask", [[[1, 0], [2, 0]], np.array([[True, False], [True, False]])])
def test_masks_are_bytes(mask: object) -> None:
    found = as_mask("op", mask)  # type: ignore[arg-type]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[1, 0], [1, 0]])
    with pytest.raises(TypeError, match=r"\[op\] mask has dtype float32, expected uint8"):
        as_mask("op", np.ones((2, 2), np.float32))


def test_a_vector_has_a_value_for_each_channel() -> None:
    x, w = Spec((2, 5, 3)), Spec((3,))
    check_channels("op", "x", x, w=w, b=None)
    with pytest.raises(
        ValueError, match=r"\[op\] b has shape \(5,\), expected \(3,\).*\(2, 5, 3\)"
    ):
        check_channels("op", "x", x, w=w, b=Spec((5,)))
    with pytest.raises(ValueError, match=r"\[op\] x must have at least one axis"):
        check_channels("op", "x", Spec(()))


def test_ops_name_themselves_and_the_operand() -> None:
    dy, w = np.ones((4, 3), np.float32), np.ones(4, np.float32)
    with pytest.raises(ValueError, match=r"\[channel_scale\] w has .* of dy, which is \(4, 3\)"):
        ck.ops.channel_scale_backward_input(dy, w)
    with pytest.raises(ValueError, match=r"\[batch_norm\] gamma has .* of x, which is \(4, 3\)"):
        ck.ops.batch_norm(dy, w)
