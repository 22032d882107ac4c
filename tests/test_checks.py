"""Numbers out of their range are refused, and the message says which range that is."""

import math

import numpy as np
import pytest

from convkit.checks import number, whole


def test_numbers_of_any_type_become_floats():
    for value in (2, 2.0, np.float32(2), np.int64(2), np.array(2)):
        found = number("Owner", "x", value)
        assert found == 2 and type(found) is float
    assert whole("Owner", "x", np.int64(3)) == 3


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "wanted"),
    [
        ({}, [0, 1e300], [-1e-300, math.inf, math.nan], "a number of at least 0"),
        ({"above": 0}, [1e-300], [0, -1], "a number above 0"),
        ({"most": 1}, [0, 1], [-0.1, 1.1], "a number of at least 0 and at most 1"),
        ({"below": 1}, [0, 0.9], [1], "a number of at least 0 and below 1"),
        ({"above": 0, "below": 1}, [0.5], [0, 1], "a number above 0 and below 1"),
        ({"least": -math.inf}, [-5], [-math.inf, math.nan], "a finite number"),
    ],
)
def test_ranges(bounds, inside, outside, wanted):
    for value in inside:
        assert number("Owner", "x", value, **bounds) == value
    for value in outside:
        with pytest.raises(ValueError) as caught:
            number("Owner", "x", value, **bounds)
        assert str(caught.value) == f"Owner: x is {value}, expected {wanted}"


def test_what_is_no_number():
    for value in ("1", True, None, [1], 1j):
        with pytest.raises(TypeError, match="Owner: x must be a number, not "):
            number("Owner", "x", value)
    for value in (1.0, "1", True, None):
        with pytest.raises(TypeError, match="Owner: x must be a whole number, not "):
            whole("Owner", "x", value)
    with pytest.raises(ValueError, match="Owner: x is 0, expected at least 1"):
        whole("Owner", "x", 0, least=1)
