"""prefetch and PyDataset by themselves."""

import threading

import pytest

import convkit as ck
from convkit.data.background import ahead


@pytest.fixture(autouse=True)
def no_threads_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("depth", [0, 1, 3, 100])
@pytest.mark.parametrize("workers", [1, 4])
def test_results_come_in_order(depth, workers):
    jobs = ((lambda n=n: n * n) for n in range(20))
    assert list(ahead(jobs, depth, workers)) == [n * n for n in range(20)]


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_no_more_than_the_depth_is_made(depth):
    made = []
    results = ahead(((lambda n=n: made.append(n)) for n in range(50)), depth)
    for taken in range(1, 10):
        next(results)
        assert taken <= len(made) <= taken + depth
    results.close()
    assert len(made) <= 9 + depth


@pytest.mark.parametrize("depth", [0, 2])
def test_lists_and_generators(depth):
    twice = ck.data.prefetch([1, 2, 3], depth)
    assert list(twice) == list(twice) == [1, 2, 3] and len(twice) == 3
    once = ck.data.prefetch((n for n in range(3)), depth)
    assert list(once) == [0, 1, 2] and list(once) == []
    assert not hasattr(once, "__len__")


def test_the_next_reader_gets_what_was_read_ahead():
    numbers = ck.data.prefetch(iter(range(10)), 4)
    reader = iter(numbers)
    assert [next(reader) for _ in range(3)] == [0, 1, 2]
    reader.close()
    assert list(numbers) == [3, 4, 5, 6, 7, 8, 9]


def test_an_exception_has_its_place():
    def broken():
        yield 1
        yield 2
        raise KeyError("three")

    reader = iter(ck.data.prefetch(broken(), 5))
    assert [next(reader), next(reader)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(reader)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="int cannot be iterated over"):
        ck.data.prefetch(3)
    with pytest.raises(TypeError, match=r"depth must be a whole number, not 1\.5"):
        ck.data.prefetch([], 1.5)
    with pytest.raises(ValueError, match="depth is -1"):
        ck.data.prefetch([], -1)
    with pytest.raises(ValueError, match="use_multiprocessing=True is not supported"):
        ck.data.Sequence(use_multiprocessing=True)
    for options in ({"workers": 0}, {"workers": 1.5}, {"max_queue_size": 0}):
        with pytest.raises(ValueError, match="must be a positive whole number"):
            ck.data.PyDataset(**options)


def test_names():
    assert ck.utils.PyDataset is ck.data.PyDataset is ck.data.Sequence is ck.utils.Sequence
    with pytest.raises(NotImplementedError, match="needs a method __len__"):
        len(ck.data.PyDataset())
    with pytest.raises(NotImplementedError, match="needs a method __getitem__"):
        ck.data.PyDataset()[0]
