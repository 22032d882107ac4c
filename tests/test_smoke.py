"""If only one test file is run then this is the one: data, model, training, kernels, proof."""

import numpy as np

import convkit as ck


def test_a_model_learns_digits_and_its_executors_agree(tmp_path):
    (x_train, y_train), (x_test, y_test) = ck.datasets.digits.load_data(size=28)
    x_train, x_test = (x[..., None].astype("float32") / 255 for x in (x_train, x_test))
    ck.set_seed(1)
    model = ck.models.lenet5()
    assert model.count_params() == 61_706
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    before = model.evaluate(x_test, y_test, verbose=0)
    history = model.fit(x_train, y_train, epochs=3, batch_size=32, verbose=0)
    losses = history.history["loss"]
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    assert losses[2] < losses[0] / 2
    assert loss < before[0] / 2
    assert accuracy > 0.85 > before[1]

    p = model.predict(x_test, verbose=0)
    assert p.shape == (len(x_test), 10)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert (p.argmax(axis=1) == y_test).mean() == np.float64(accuracy)

    # Every instruction of a training step against its NumPy reference, in units of its bound.
    difference = ck.testing.compare(model, x_train[:16], y_train[:16], "reference", "native")
    assert difference.agrees and difference.units > 0, str(difference)

    # The same seed gives the same bits on another number of threads.
    threads = ck.get_num_threads()
    weights = []
    try:
        for count in (1, 3):
            ck.set_num_threads(count)
            ck.set_seed(2)
            again = ck.models.lenet5()
            again.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
            again.fit(x_train[:128], y_train[:128], epochs=1, batch_size=32, verbose=0)
            weights.append(again.get_weights())
    finally:
        ck.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
