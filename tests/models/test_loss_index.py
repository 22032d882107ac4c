"""The loss index: error and regularisation, apart on three parts of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers, regularizers
from convkit.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint

RNG = np.random.default_rng(5)
X = RNG.standard_normal((60, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def network(**options: Any) -> Any:
    ck.set_seed(3)
    model = ck.Sequential(
        [ck.Input((6,)), layers.Dense(5, "tanh", **options), layers.Dense(3, "softmax")]
    )
    return model


def compiled(regularizer: Any = None, **options: Any) -> Any:
    model = network(**options)
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], regularizer=regularizer
    )
    return model


def squares(model: Any, *names: str) -> float:
    found = [p.numpy().astype(np.float64) for p in model.parameters if p.path in names]
    assert len(found) == len(names)
    return float(sum((w**2).sum() for w in found))


@pytest.mark.parametrize(
    ("name", "l1", "l2"), [("l1", 0.01, 0), ("l2", 0, 0.01), ("l1_l2", 0, 0), ("L2", 0, 0.01)]
)
def test_names(name: str, l1: float, l2: float) -> None:
    found = regularizers.get(name)
    assert found is not None
    assert (found.l1, found.l2) == (l1, l2)


def test_a_penalty_of_ones_own_is_refused() -> None:
    with pytest.raises(TypeError, match="regularizer Mine defines __call__, which training does"):

        class Mine(regularizers.Regularizer):
            def __call__(self, x: Any) -> float:
                return float(np.abs(x).max())

    class Renamed(regularizers.L2):
        pass

    assert regularizers.get(Renamed(0.5)) == regularizers.L2(0.5)


def test_a_regularizer_of_an_array() -> None:
    assert regularizers.L1L2(0.5, 0.25)(np.array([2.0, -4.0])) == 3.0 + 5.0


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "unknown regularizer 'l3'; known: L1", lambda: regularizers.get("l3")),
        (TypeError, "not function .a penalty of one's own", lambda: regularizers.get(len and max)),
        (ValueError, "l2 is -1", lambda: regularizers.L2(-1)),
        (ValueError, "l1 is inf", lambda: regularizers.L1(np.inf)),
        (TypeError, "l2 must be a number", lambda: regularizers.L2("much")),
        (ValueError, "layer 'd' .Dense. has no bias", lambda: _built(use_bias=False,
                                                                   bias_regularizer="l2")),
        (ValueError, "has no gamma", lambda: _built(gamma_regularizer="l2")),
        (ValueError, "unknown regularizer", lambda: _built(kernel_regularizer="l22")),
    ],
)  # fmt: skip
def test_errors(error: type[Exception], message: str, make: Any) -> None:
    message = message.replace("not function .", "not builtin_function_or_method .")
    with pytest.raises(error, match=message):
        make()


def _built(**options: Any) -> Any:
    return layers.Dense(2, name="d", **options)(ck.Input((3,)))


@pytest.mark.parametrize("make", [
    lambda: layers.Conv2D(2, 3, kernel_regularizer="l2"),
    lambda: layers.DepthwiseConv2D(3, depthwise_regularizer="l2"),
    lambda: layers.SeparableConv2D(2, 3, depthwise_regularizer="l1", pointwise_regularizer="l2"),
    lambda: layers.Conv2DTranspose(2, 3, kernel_regularizer="l2", bias_regularizer="l1"),
    lambda: layers.BatchNormalization(beta_regularizer="l1", gamma_regularizer="l2"),
])  # fmt: skip
def test_layers_of_images_take_regularizers(make: Any) -> None:
    check_gradients([ck.Input((5, 5, 2)), make(), layers.Flatten(), layers.Dense(3)], (5, 5, 2))


@pytest.mark.parametrize("make", [
    lambda: layers.SimpleRNN(3, kernel_regularizer="l2", recurrent_regularizer="l1"),
    lambda: layers.LSTM(3, recurrent_regularizer="l2", bias_regularizer="l2"),
    lambda: layers.Bidirectional(layers.GRU(2, kernel_regularizer="l2")),
    lambda: layers.TimeDistributed(layers.Dense(3, kernel_regularizer="l2")),
])  # fmt: skip
def test_layers_of_sequences_take_regularizers(make: Any) -> None:
    check_gradients([ck.Input((4, 2)), make(), layers.Flatten(), layers.Dense(3)], (4, 2))


def check_gradients(chain: list[Any], shape: tuple[int, ...]) -> None:
    ck.set_seed(0)
    model = ck.Sequential(chain)
    loss = ck.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, regularizer=regularizers.L1L2(1e-3, 1e-2))
    x = np.random.default_rng(1).standard_normal((4, *shape)).astype(np.float32)
    result = ck.testing.check_gradients(model, x, Y[:4], max_entries=40)
    assert result.passed, str(result)
    logs = model.evaluate(x, Y[:4], verbose=0, return_dict=True)
    assert logs["regularization"] > 0
    assert np.isclose(logs["loss"], logs["error"] + logs["regularization"], rtol=1e-12)


def test_embeddings_take_a_regularizer() -> None:
    model = ck.Sequential([
        ck.Input((4,)), layers.Embedding(7, 3, embeddings_regularizer="l2"),
        layers.Flatten(), layers.Dense(3),
    ])  # fmt: skip
    model.compile("sgd", ck.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(1).integers(0, 7, (4, 4))
    assert ck.testing.check_gradients(model, x, Y[:4]).passed


def test_a_wrapper_refuses_what_it_would_ignore() -> None:
    inner = layers.LSTM(3, activity_regularizer="l2")
    with pytest.raises(ValueError, match="give it to the Bidirectional"):
        layers.Bidirectional(inner)(ck.Input((4, 2)))


def test_kernels_biases_and_activations_have_their_own() -> None:
    model = compiled(
        kernel_regularizer=regularizers.L2(0.1),
        bias_regularizer=regularizers.L1(0.2),
        activity_regularizer=regularizers.L2(0.3),
    )
    first = model.layers[0]
    first.set_weights([first.get_weights()[0], np.arange(-2, 3) / 4])
    logs = model.evaluate(X[:10], Y[:10], verbose=0, return_dict=True)
    kernel, bias = (w.astype(np.float64) for w in first.get_weights())
    h = np.tanh(X[:10] @ kernel + bias)
    expected = 0.1 * (kernel**2).sum() + 0.2 * np.abs(bias).sum() + 0.3 * (h**2).sum() / 10
    assert abs(logs["regularization"] - expected) < 1e-6 * expected
    assert ck.testing.check_gradients(model, X[:10], Y[:10]).passed


def test_one_for_all_kernels_spares_biases_and_those_with_their_own() -> None:
    model = compiled(regularizers.L2(0.5), kernel_regularizer=regularizers.L2(0.0))
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, np.ones_like(bias)])
    first, second = (layer.name for layer in model.layers)
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    expected = 0.5 * squares(model, f"{second}.kernel")
    assert first != second
    assert abs(logs["regularization"] - expected) < 1e-6 * expected


def test_frozen_layers_are_not_regularised() -> None:
    model = compiled(regularizers.L2(0.5))
    model.layers[0].trainable = False
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    expected = 0.5 * squares(model, f"{model.layers[1].name}.kernel")
    assert abs(logs["regularization"] - expected) < 1e-6 * expected


def test_the_step_is_that_of_weight_decay() -> None:
    """With SGD, g + 2 l2 w is w - eta * decay * w beside the step, with decay = 2 l2."""
    one, two = compiled(regularizers.L2(0.05)), network()
    two.compile(ck.optimizers.SGD(0.01, weight_decay=0.1), "sparse_categorical_crossentropy")
    for model in (one, two):
        for layer in model.layers:
            layer.set_weights([layer.get_weights()[0], np.zeros(layer.units)])
        model.train_on_batch(X, Y)
    for a, b in zip(one.get_weights()[::2], two.get_weights()[::2], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-7)


def test_without_regularizers_the_logs_are_keras_own() -> None:
    history = compiled().fit(X, Y, validation_split=0.5, verbose=0).history
    assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]


def test_error_and_regularisation_are_apart_on_three_parts(capsys: Any) -> None:
    model = compiled(regularizers.L2(0.01))
    history = model.fit(X, Y, batch_size=7, epochs=3, split=(0.6, 0.2, 0.2), verbose=2)
    assert history.stopped == "all 3 epochs done"
    line = capsys.readouterr().out.splitlines()[-1]
    for part in ("", "val_", "test_"):
        loss, error, term = (
            np.array(history.history[part + name]) for name in ("loss", "error", "regularization")
        )
        assert len(loss) == 3
        assert (term > 0).all()
        np.testing.assert_allclose(loss, error + term, rtol=1e-12)
        assert all(f"{part}{name}:" in line for name in ("loss", "error", "regularization"))
    rows = history.parts
    assert [len(rows[part]) for part in ("training", "selection", "testing")] == [36, 12, 12]
    assert sorted(np.concatenate(list(rows.values()))) == list(range(60))
    names = [f"{layer.name}.kernel" for layer in model.layers]
    expected = 0.01 * squares(model, *names)  # after the last step
    assert abs(history.history["test_regularization"][-1] - expected) < 1e-6 * expected
    testing = model.evaluate(X[rows["testing"]], Y[rows["testing"]], verbose=0, return_dict=True)
    for name, value in testing.items():
        assert np.isclose(history.history[f"test_{name}"][-1], value, rtol=1e-6)
    selection = model.evaluate(X[rows["selection"]], Y[rows["selection"]], verbose=0)
    assert np.isclose(history.history["val_loss"][-1], selection[0], rtol=1e-6)


def test_the_parts_follow_from_the_seed() -> None:
    rows = [compiled().fit(X, Y, split=(0.5, 0.5), verbose=0).parts for _ in range(2)]
    np.testing.assert_array_equal(rows[0]["training"], rows[1]["training"])
    ck.set_seed(4)
    model = ck.Sequential([ck.Input((6,)), layers.Dense(3)])
    model.compile("sgd", ck.losses.SparseCategoricalCrossentropy(from_logits=True))
    other = model.fit(X, Y, split=(0.5, 0.5), verbose=0).parts
    assert not np.array_equal(other["training"], rows[0]["training"])
    assert "testing" not in other


def test_a_part_is_the_same_as_its_samples_alone() -> None:
    """Training on a part gives the bits of training on a copy of it."""
    one = compiled(regularizers.L2(0.01))
    rows = one.fit(X, Y, batch_size=8, epochs=3, split=(0.7, 0.1, 0.2), verbose=0).parts
    two = compiled(regularizers.L2(0.01))
    training = rows["training"]
    two.fit(X[training], Y[training], batch_size=8, epochs=3, verbose=0)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Deciding(Callback):
    """Notes what a callback that may change training gets to see."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.update(logs)

    def on_test_begin(self, logs: Any = None) -> None:
        self.seen.add("evaluation")


class Reporting(Deciding):
    """Only reports."""

    reports_only = True


@pytest.mark.parametrize("spoil", ["values", "nan", "none"])
def test_the_testing_part_has_no_influence_on_training(spoil: str) -> None:
    """Whatever lies in the testing part: the same bits of weights and of all other logs."""

    def run(x: Any, y: Any) -> tuple[Any, Any]:
        model = compiled(regularizers.L2(0.01))
        stop = EarlyStopping("val_loss", patience=1, restore_best_weights=True)
        test = None if spoil == "none" else (x, y)
        history = model.fit(X[:40], Y[:40], batch_size=8, epochs=6, validation_split=0.25,
                            test_data=test, verbose=0, callbacks=[stop])  # fmt: skip
        kept = {k: v for k, v in history.history.items() if not k.startswith("test_")}
        return model.get_weights(), kept

    x, y = X[40:].copy(), Y[40:].copy()
    weights, logs = run(X[40:], Y[40:])
    if spoil == "nan":
        x[:] = np.nan
    else:
        x, y = x[::-1] * 100, (y + 1) % 3
    spoilt, other = run(x, y)
    assert logs == other
    for a, b in zip(weights, spoilt, strict=True):
        np.testing.assert_array_equal(a, b)


def test_callbacks_that_decide_do_not_see_the_testing_part(tmp_path: Any) -> None:
    deciding, reporting = Deciding(), Reporting()
    file = tmp_path / "log.csv"
    compiled().fit(X, Y, split=(0.6, 0.0, 0.4), verbose=0,
                   callbacks=[deciding, reporting, CSVLogger(file)])  # fmt: skip
    assert deciding.seen == {"loss", "accuracy"}
    assert reporting.seen == {"loss", "accuracy", "test_loss", "test_accuracy"}
    assert "test_loss" in file.read_text()


def test_names_of_files_do_not_see_the_testing_part(tmp_path: Any) -> None:
    save = ModelCheckpoint(tmp_path / "{test_loss:.2f}.convkit")
    with pytest.raises(ValueError, match="'test_loss' that is not in the logs, which are without"):
        compiled().fit(X, Y, split=(0.6, 0.2, 0.2), verbose=0, callbacks=[save])


def test_carried_states_do_not_see_the_testing_part() -> None:
    x = np.random.default_rng(0).standard_normal((8, 4, 2)).astype(np.float32)
    y = np.random.default_rng(1).standard_normal((8, 1)).astype(np.float32)

    def run(test: Any) -> Any:
        ck.set_seed(0)
        model = ck.Sequential([
            layers.LSTM(3, stateful=True, batch_input_shape=(4, 4, 2)), layers.Dense(1),
        ])  # fmt: skip
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0, test_data=test)
        return model.get_weights()

    for a, b in zip(run(None), run((x * 3, y)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "leaves none for selection", {"split": (0.98, 0.001, 0.019)}),
        (ValueError, "leaves none for training", {"split": (0.0, 0.5, 0.5)}),
        (ValueError, "theirs is 1.5", {"split": (0.5, 0.5, 0.5)}),
        (ValueError, "0 to 1", {"split": (1.2, -0.2)}),
        (TypeError, r"such as \(0.6, 0.2, 0.2\)", {"split": 0.5}),
        (TypeError, "fractions for training", {"split": (0.5, 0.2, 0.2, 0.1)}),
        (ValueError, "validation_data says so again", {"split": (0.5, 0.5),
                                                       "validation_data": (X, Y)}),
        (ValueError, "test_data must be", {"test_data": (X,)}),
        (ValueError, r"\[fit\] input .* expects", {"test_data": (X[:, :2], Y)}),
    ],
)  # fmt: skip
def test_bad_parts(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        compiled().fit(X, Y, verbose=0, **options)


def test_a_term_that_is_not_finite_changes_nothing() -> None:
    model = compiled(kernel_regularizer=regularizers.L2(1e38))
    first = model.layers[0]
    first.set_weights([first.get_weights()[0] * np.float32(1e30), np.zeros(5)])
    before = model.get_weights()
    with (
        pytest.warns(UserWarning, match="are where tanh is flat"),
        pytest.raises(ck.NonFiniteError, match="dense"),
    ):
        model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_executors_agree() -> None:
    model = compiled(regularizers.L1L2(0.01, 0.02), activity_regularizer="l2")
    assert ck.testing.compare(model, X[:9], Y[:9]).agrees


@pytest.mark.parametrize("how", ["unnamed", "named", "interrupt"])
def test_history_says_why_it_stopped(how: str) -> None:
    class Stopper(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if how == "interrupt":
                raise KeyboardInterrupt
            if how == "named":
                self.stop("enough")
            self.model.stop_training = True

    model = compiled()
    if how == "interrupt":
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, epochs=3, verbose=0, callbacks=[Stopper()])
    else:
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[Stopper()])
    expected = {
        "unnamed": "stop_training was set",
        "named": "Stopper: enough",
        "interrupt": "interrupted in epoch 1, after 2 of its steps",
    }
    assert model.history.stopped == expected[how]
