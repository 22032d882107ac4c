"""The lists of calls that checks and benchmarks run over."""

from __future__ import annotations

import pytest

from convkit.ops import registry
from convkit.testing import awkward_calls, named_calls
from convkit.testing.calls import distinct

NATIVE = [op for op in registry.ops() if not registry.get(op).python_only]


def test_of_equal_keys_the_first_stays_in_its_place():
    words = ["one", "three", "two", "seven", "six", "eleven"]
    assert distinct(words, len) == ["one", "three", "eleven"]
    assert distinct([], len) == []


@pytest.mark.parametrize("op", ["add", "conv2d", "dense", "pad2d", "pool2d", "transpose"])
def test_no_named_layer_comes_twice(op):
    calls = named_calls.calls_of(op)
    found = {(c.pass_name, c.specs, c.out, tuple(c.params.items())) for c in calls}
    assert len(found) == len(calls) > 0


@pytest.mark.parametrize("table", [named_calls._CALLS, awkward_calls._CALLS])
def test_each_op_has_its_calls_in_alphabetical_order(table):
    assert list(table) == sorted(NATIVE)
