"""Feeds: which samples each step takes, from the middle of an epoch too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit.models.data import Samples
from convkit.models.feeds import ArrayFeed, IterableFeed
from convkit.models.passes import Passes
from convkit.ops.registry import Spec

SHUFFLES = [False, True, "batch"]


def batches_of(segments):
    """The samples of each step."""
    found = []
    for s in segments:
        for k in range(s.steps):
            positions = np.arange(s.first + k * s.batch, s.first + (k + 1) * s.batch)
            found.append((positions if s.order is None else s.order[positions]).tolist())
    return found


def array_feed(count, *args, **kwargs):
    samples = Samples({"x": np.arange(count)}, (Spec((), "int64"),), count)
    return ArrayFeed(samples, *args, **kwargs)


class Again:
    """Batches of one sample each, as often as one likes."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        return iter(np.arange(self.count).reshape(-1, 1))


def iterable_feed(source, **kwargs):
    def check(x, y, weight):
        return Samples({"x": x}, (Spec((), "int64"),), len(x))

    return IterableFeed(source, check, **kwargs)


def values_of(segments):
    return [int(s.samples.arrays["x"][0]) for s in segments]


@pytest.mark.parametrize("shuffle", SHUFFLES)
@given(count=st.integers(1, 40), batch=st.integers(1, 12), steps=st.none() | st.integers(1, 9))
def test_an_epoch_from_the_middle(shuffle, count, batch, steps):
    ck.set_seed(3)
    whole = array_feed(count, batch, shuffle, steps)
    again = array_feed(count, batch, shuffle, steps)
    for epoch in range(3):
        state = whole.get_state()
        want = batches_of(whole.epoch(7, epoch))
        assert len(want) == whole.steps
        for skip in range(len(want) + 1):
            again.set_state(state)
            assert batches_of(again.epoch(7, epoch, skip=skip)) == want[skip:]
            assert again.get_state() == whole.get_state()


@pytest.mark.parametrize("shuffle", SHUFFLES)
@given(count=st.integers(1, 40), batch=st.integers(1, 12))
def test_a_pass_takes_each_sample_once(shuffle, count, batch):
    found = batches_of(Passes(count, batch, shuffle).epoch(0))
    assert sorted(n for b in found for n in b) == list(range(count))
    assert [len(b) for b in found[:-1]] == [batch] * (len(found) - 1)
    if shuffle == "batch":
        assert all(b == list(range(b[0], b[0] + len(b))) for b in found)


def test_shuffled_batches_come_in_another_order_each_epoch():
    ck.set_seed(0)
    feed = array_feed(67, 4, "batch")
    first, second = (batches_of(feed.epoch(epoch)) for epoch in range(2))
    assert first != second != sorted(second)
    assert first[-1] == second[-1] == [64, 65, 66]


def test_the_state_stays_until_an_epoch_is_over():
    feed = array_feed(10, 2, True, steps=3)
    before = feed.get_state()
    segments = feed.epoch(0)
    next(segments)
    assert feed.get_state() == before
    segments.close()
    assert feed.get_state() == before


def test_a_state_of_other_data_is_refused():
    feed = array_feed(10, 2, True, steps=3)
    list(feed.epoch(0))
    with pytest.raises(ValueError, match="at least 6 samples, this has 4"):
        array_feed(4, 2, True, steps=3).set_state(feed.get_state())


@pytest.mark.parametrize("steps", [None, 3, 5, 7])
def test_an_iterable_from_the_middle(steps):
    whole, again = (iterable_feed(Again(5), steps=steps) for _ in range(2))
    for _ in range(3):
        state = whole.get_state()
        want = values_of(whole.epoch())
        for skip in range(len(want) + 1):
            again.set_state(state)
            assert values_of(again.epoch(skip=skip)) == want[skip:]
            assert again.get_state() == whole.get_state()


def test_a_generator_made_anew_goes_on():
    first = iterable_feed(iter(Again(9)), steps=3)
    assert values_of(first.epoch()) == [0, 1, 2]
    second = iterable_feed(iter(Again(9)), steps=3)
    second.set_state(first.get_state())
    assert values_of(second.epoch(skip=1)) == [4, 5]
    assert values_of(second.epoch()) == [6, 7, 8]
