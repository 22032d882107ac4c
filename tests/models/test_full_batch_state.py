"""What an optimizer of all the data keeps, and what it leaves alone."""

import pickle
import signal

import numpy as np
import pytest

import convkit as ck
from models.conftest import blobs, classifier, flat, objective_of, regressor, waves

optimizers = ck.optimizers
NAMES = ["steepest_descent", "cg", "bfgs", "lbfgs"]


def test_fit_in_pieces_is_fit_at_once():
    x, y = waves()
    for name in (*NAMES, "lm"):
        ends = []
        for pieces in ([8], [3, 5], [1] * 8):
            ck.set_seed(4)
            model = regressor(name)
            losses = [
                loss
                for n in pieces
                for loss in model.fit(x, y, 13, epochs=n, verbose=0).history["loss"]
            ]
            ends.append((model.optimizer.weights, losses))
        for weights, losses in ends[1:]:
            assert np.array_equal(weights, ends[0][0]) and losses == ends[0][1], name


@pytest.mark.parametrize(
    ("name", "dropout"), [("lm", False), *((n, d) for n in NAMES for d in (False, True))]
)
def test_a_run_goes_on_from_its_state_to_the_same_bits(name, dropout):
    def fresh(seed):
        ck.set_seed(seed)
        layers = [ck.Input((4,)), ck.layers.Dense(5, "tanh")]
        layers += [ck.layers.Dropout(0.2)] if dropout else []
        model = ck.Sequential([*layers, ck.layers.Dense(2)])
        model.compile(name, "mse")
        return model

    x, y = waves()
    model = fresh(5)
    model.fit(x, y, 13, epochs=14, verbose=0)
    saved, weights = model.optimizer.get_state(), model.get_weights()
    assert saved["iterations"] == 14 and saved["weights"].dtype == np.float64
    assert all(isinstance(v, int | float | np.ndarray) for v in saved.values())
    expected = model.fit(x, y, 13, epochs=5, verbose=0)

    other = fresh(6)
    other.set_weights(weights)
    other.optimizer.set_state(saved)
    ck.set_seed(5)
    history = other.fit(x, y, 13, epochs=5, verbose=0)
    assert history.history == expected.history
    assert np.array_equal(other.optimizer.weights, model.optimizer.weights)
    assert other.optimizer.iterations == 19
    for key, value in model.optimizer.get_state().items():
        assert np.array_equal(other.optimizer.get_state()[key], value), key

    third = fresh(6)  # without the state it is another run
    third.set_weights(weights)
    ck.set_seed(5)
    assert third.fit(x, y, 13, epochs=5, verbose=0).history != expected.history
    with pytest.raises(ValueError, match="'momentum' does not belong to its state"):
        other.optimizer.set_state({"iterations": 1, "momentum": 0})


def test_a_model_is_pickled_with_the_state():
    x, y = waves()
    model = regressor("lbfgs")
    model.fit(x, y, epochs=4, verbose=0)
    copy = pickle.loads(pickle.dumps(model))
    one = model.fit(x, y, epochs=3, verbose=0).history
    assert copy.fit(x, y, epochs=3, verbose=0).history == one
    assert np.array_equal(flat(copy), flat(model))


def test_weights_that_a_callback_sets_are_where_it_goes_on():
    x, y = waves()
    model = regressor("lbfgs")
    weights = [w + 1 for w in model.get_weights()]

    def change(epoch, logs):
        if epoch == 2:
            model.set_weights(weights)

    callback = ck.callbacks.LambdaCallback(on_epoch_end=change)
    history = model.fit(x, y, epochs=5, callbacks=[callback], verbose=0)
    other = regressor("lbfgs")
    other.set_weights(weights)
    expected = other.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert history.history["loss"][3:] == expected
    assert np.array_equal(flat(model), flat(other))


def test_frozen_layers_stay_and_the_others_are_a_smaller_problem():
    x, y = waves()
    model = regressor("lbfgs")
    model.layers[0].trainable = False
    kernel = model.layers[0].get_weights()[0]
    model.fit(x, y, epochs=30, verbose=0)
    assert np.array_equal(model.layers[0].get_weights()[0], kernel)
    assert model.optimizer.weights.size == 5 * 2 + 2
    hidden = np.tanh(x.astype(np.float64) @ kernel)
    a = np.column_stack([hidden, np.ones(len(x))])
    solution = np.linalg.lstsq(a, y, rcond=None)[0]
    assert model.optimizer.weights.reshape(6, 2) == pytest.approx(solution, abs=1e-5)


def test_dropout_draws_one_mask_for_an_iteration():
    x, y = waves(200)
    model = ck.Sequential(
        [
            ck.Input((4,)),
            ck.layers.Dense(16, "tanh"),
            ck.layers.Dropout(0.3),
            ck.layers.Dense(2),
        ]
    )
    model.compile("lbfgs", "mse")
    objective = objective_of(model, x, y, 60)
    w = objective.gather(model.store.parameters)
    one = objective(w)[0]
    assert objective(w)[0] == objective.loss(w) == one and objective.random
    objective.begin(1)
    assert objective(w)[0] != one
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=30, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.5 * before


def test_moving_averages_change_once_per_chunk_and_iteration():
    x, y = waves(50)
    model = ck.Sequential(
        [ck.Input((4,)), ck.layers.BatchNormalization(momentum=0.3), ck.layers.Dense(2)]
    )
    model.compile("lbfgs", "mse")
    mean = np.zeros(4)
    for _ in range(3):
        model.fit(x, y, 20, epochs=1, verbose=0)
        for first in (0, 20, 40):
            mean = 0.3 * mean + 0.7 * x[first : first + 20].mean(0, dtype=np.float64)
    assert model.layers[0].get_weights()[2] == pytest.approx(mean, abs=1e-6)


def test_averages_that_will_hardly_move_are_told():
    x, y = waves(50)
    model = ck.Sequential(
        [ck.Input((4,)), ck.layers.BatchNormalization(name="norm"), ck.layers.Dense(2)]
    )
    model.compile("lbfgs", "mse")
    with pytest.warns(UserWarning, match=r"'norm'.* change 30 times .* keep 74% .*momentum"):
        model.fit(x, y, 20, epochs=10, verbose=0)


def test_not_a_number_at_the_start_is_found():
    x, y = waves()
    model = regressor("lbfgs")
    x[17, 2] = np.nan
    with pytest.raises(ck.errors.NonFiniteError, match=r"the data is not finite: x\[17\] holds"):
        model.fit(x, y, 10, verbose=0)
    x, y = waves()
    weights = model.get_weights()
    weights[2][1, 1] = np.inf
    model.set_weights(weights)
    with pytest.raises(ck.errors.NonFiniteError, match=r"kernel is not finite.*smaller weights"):
        model.fit(x, y, 10, verbose=0)


def test_an_interruption_leaves_the_last_whole_iteration():
    x, y = waves()
    ck.set_seed(8)
    model = regressor("lbfgs")
    model.fit(x, y, 7, epochs=3, verbose=0)
    after, state = flat(model), model.optimizer.get_state()
    ck.set_seed(8)
    other = regressor("lbfgs")
    original = optimizers.LBFGS.direction

    def interrupted(self, point, memory):
        if self.iterations == 3:
            signal.raise_signal(signal.SIGINT)
        return original(self, point, memory)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizers.LBFGS, "direction", interrupted)
        with pytest.raises(KeyboardInterrupt):
            other.fit(x, y, 7, epochs=10, verbose=0)
    assert np.array_equal(flat(other), after)
    for key, value in other.optimizer.get_state().items():
        assert np.array_equal(value, state[key])
    more = other.fit(x, y, 7, epochs=2, verbose=0).history
    assert more == model.fit(x, y, 7, epochs=2, verbose=0).history


@pytest.mark.parametrize("kind", ["eager", "reference"])
def test_every_executor_goes_the_same_way(kind):
    x, y = waves(20)
    ck.set_seed(1)
    model = regressor("lbfgs")
    expected = model.fit(x, y, 7, epochs=3, verbose=0).history["loss"]
    ck.set_seed(1)
    other = regressor("lbfgs")
    other.executor = kind
    assert other.fit(x, y, 7, epochs=3, verbose=0).history["loss"] == pytest.approx(
        expected, rel=1e-9
    )


def test_threads_do_not_change_the_bits():
    x, y = blobs(200)
    ends = []
    for threads in (1, 2):
        ck.set_num_threads(threads)
        ck.set_seed(1)
        model = classifier(optimizer="lbfgs", hidden=64)
        ends.append((model.fit(x, y, 64, epochs=4, verbose=0).history["loss"], flat(model)))
    assert ends[0][0] == ends[1][0] and np.array_equal(ends[0][1], ends[1][1])
