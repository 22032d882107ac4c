"""The profile of a training step."""

import numpy as np

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
