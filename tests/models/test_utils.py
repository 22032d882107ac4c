"""Helpers under Keras's names."""

import numpy as np
import pytest

import convkit as ck


def test_to_categorical():
    one_hot = ck.utils.to_categorical([[1], [0], [2]], 4)
    assert one_hot.dtype == np.float32 and one_hot.tolist() == np.eye(4)[[1, 0, 2]].tolist()
    assert ck.utils.to_categorical(np.zeros((2, 3), "uint8") + 2).shape == (2, 3, 3)
    for wrong in ([0.5], [-1], [4], [np.nan], ["a"]):
        with pytest.raises(ValueError, match="to_categorical"):
            ck.utils.to_categorical(wrong, 4)


def test_set_random_seed():
    ck.utils.set_random_seed(11)
    assert ck.random.current_seed() == 11


def test_schedules_are_where_keras_has_them():
    assert ck.optimizers.schedules.ExponentialDecay is ck.schedules.ExponentialDecay
