"""The profile of a training step."""

import numpy as np
import pytest

import convkit as ck
from convkit import models


def test_profile_times_every_instruction_and_changes_nothing():
    model = models.lenet5()
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    x = np.zeros((8, 28, 28, 1), np.float32)
    profile = model.profile(x, np.zeros(8, np.int32), repeats=3)
    assert [row.instruction for row in profile.rows] == profile.program.instructions
    assert profile.seconds == sum(row.seconds for row in profile.rows) > 0
    assert profile.by_layer()["c3"] > 0
    assert "batch 8" in str(profile).splitlines()[0]
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_profile_needs_samples_and_says_who_it_is():
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"\[profile\] x is empty: give one batch"):
        model.profile(np.zeros((0, 4)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"^\[profile\]"):
        model.profile(np.zeros((2, 5)), np.zeros((2, 3)))
