"""Same seed, same bits: over runs, thread counts and executors."""

import numpy as np
import pytest

import convkit as ck
from models.conftest import convnet, images


def trained(seed=3, threads=None, executor="native", epochs=2, n=70):
    if threads is not None:
        ck.set_num_threads(threads)
    ck.set_seed(seed)
    x, y = images(n, size=12, channels=3)
    model = convnet(size=12, channels=3)
    model.executor = executor
    history = model.fit(x, y, epochs=epochs, batch_size=32, verbose=0).history
    return [*model.get_weights(), model.predict(x, verbose=0)], history


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_same_seed_same_bits():
    first, second = trained(), trained()
    assert equal(first[0], second[0]) and first[1] == second[1]
    assert not equal(first[0], trained(seed=4)[0])


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_any_number_of_threads(threads):
    one, many = trained(threads=1), trained(threads=threads)
    assert equal(one[0], many[0])
    assert one[1] == many[1]


def test_native_and_eager_have_the_same_bits():
    assert equal(trained()[0], trained(executor="eager")[0])


def test_the_reference_sees_the_same_random_stream():
    """Weights, shuffles and dropout masks agree, so the results differ by rounding only."""
    native, reference = trained(), trained(executor="reference")
    for a, b in zip(native[0], reference[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    for key, values in native[1].items():
        np.testing.assert_allclose(values, reference[1][key], rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 5, 70])
def test_predictions_do_not_depend_on_the_batch(batch):
    x, _ = images(70)
    model = convnet()
    whole = model.predict(x, batch_size=70, verbose=0)
    np.testing.assert_allclose(model.predict(x, batch_size=batch, verbose=0), whole, rtol=1e-5)
