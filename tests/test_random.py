"""Philox against its published answers, and the numbers drawn from it."""

import itertools

import numpy as np
import pytest

from convkit import random as ck_random

# kat_vectors of Random123: counter, key, output.
KNOWN_ANSWERS = [
    ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def words(text):
    return np.array([int(word, 16) for word in text.split()], np.uint32)


@pytest.fixture(autouse=True)
def restore_seed():
    before = ck_random._seed
    yield
    ck_random._seed = before


@pytest.mark.parametrize(("counter", "key", "want"), KNOWN_ANSWERS)
def test_known_answers(counter, key, want):
    got = ck_random.philox4x32(words(counter)[None], words(key))
    np.testing.assert_array_equal(got, words(want)[None])


def test_rows_are_independent_of_each_other():
    counters = np.stack([words(counter) for counter, _, _ in KNOWN_ANSWERS])
    key = words("00000001 00000002")
    together = ck_random.philox4x32(counters, key)
    alone = [ck_random.philox4x32(row[None], key)[0] for row in counters]
    np.testing.assert_array_equal(together, alone)
    assert together.dtype == np.uint32
    assert ck_random.philox4x32(np.empty((0, 4), np.uint32), key).shape == (0, 4)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(n, 4\)"):
        ck_random.philox4x32(np.zeros(4, np.uint32), np.zeros(2, np.uint32))


def test_uniform24_follows_the_documented_layout():
    seed, stream, step = 0x123456789ABCDEF0, 7, (5 << 32) + 3
    got = ck_random.uniform24(seed, stream, step, 11)
    for i in range(11):
        counter = np.array([[i // 4, 0, 3, 7]], np.uint32)
        bits = ck_random.philox4x32(counter, words("9abcdef0 12345678"))[0, i % 4]
        assert got[i] == (int(bits) >> 8) / 2**24


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 1000])
def test_uniform24_prefix(n):
    got = ck_random.uniform24(1, 2, 3, n)
    assert got.shape == (n,)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, ck_random.uniform24(1, 2, 3, 1004)[:n])


def test_uniform24_is_uniform():
    n = 1 << 20
    u = ck_random.uniform24(11, 0, 0, n).astype(np.float64)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / np.sqrt(12 * n)
    assert abs(u.var() - 1 / 12) < 5 / np.sqrt(180 * n)
    bins = np.bincount((u * 256).astype(int), minlength=256)
    chi2 = ((bins - n / 256) ** 2 / (n / 256)).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)
    # The lowest of the 24 bits counts too.
    assert abs(((u * 2**24) % 2).mean() - 0.5) < 5 * 0.5 / np.sqrt(n)
    for lag in (1, 2, 3, 4, 64):
        assert abs(np.corrcoef(u[:-lag], u[lag:])[0, 1]) < 5 / np.sqrt(n)


def test_streams_steps_and_seeds_are_independent():
    n = 1 << 16
    places = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1 << 32, 0, 0)]
    drawn = [ck_random.uniform24(*place, n) for place in places]
    for a, b in itertools.combinations(drawn, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(n)
        assert (a == b).mean() < 1e-3


def test_bad_arguments():
    bad = [(-1, 0, 0, 1), (1 << 64, 0, 0, 1), (0, -1, 0, 1), (0, 1 << 32, 0, 1), (0, 0, 0, -1)]
    for arguments in bad:
        with pytest.raises(ValueError, match=r"must"):
            ck_random.uniform24(*arguments)
    with pytest.raises(ValueError, match="seed"):
        ck_random.set_seed(-1)
    before = ck_random.current_seed()
    for seed in (1.5, True, np.True_, "1", [1]):
        with pytest.raises(TypeError, match=r"seed must be a whole number from 0 to 2\*\*64 - 1"):
            ck_random.set_seed(seed)
        with pytest.raises(TypeError, match=r"seed must be a whole number"):
            ck_random.generator(seed)
    assert ck_random.current_seed() == before


def test_generator_repeats_and_separates():
    paths = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (1 << 40,)]
    drawn = [ck_random.generator(5, *path).random(4096) for path in paths]
    drawn.append(ck_random.generator(6).random(4096))
    for path, numbers in zip(paths, drawn, strict=False):
        np.testing.assert_array_equal(ck_random.generator(5, *path).random(4096), numbers)
    for a, b in itertools.combinations(drawn, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(4096)


def test_generator_is_pinned():
    """A changed key would silently change every trained model."""
    bits = ck_random.generator(42, 1, 2).bit_generator.random_raw(2)
    assert [int(b) for b in bits] == [5901128180743677066, 5781890845653928204]


def test_global_seed():
    ck_random.set_seed(9)
    assert ck_random.current_seed() == 9
    a = ck_random.generator(None, 1).random(4)
    np.testing.assert_array_equal(a, ck_random.generator(9, 1).random(4))
    ck_random.set_seed(None)
    drawn = ck_random.current_seed()
    assert drawn == ck_random.current_seed()
    ck_random.set_seed(None)
    assert drawn != ck_random.current_seed()
