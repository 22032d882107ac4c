"""Fuse: each pattern where it must match and where it must not."""

import numpy as np
import pytest

import convkit as ck
from convkit import losses, metrics
from convkit.metrics.names import resolve
from convkit.ops.registry import Spec
from convkit.program import compile_program
from convkit.program.fuse import PATTERNS
from program.graphs import calls, compiled, named


def dense(activation=None, **options):
    return ck.Sequential([ck.Input((4,)), ck.layers.Dense(3, activation, **options)])


def test_at_most_a_dozen_patterns():
    assert len(PATTERNS) <= 12


@pytest.mark.parametrize("kind", ["relu", "tanh", "scaled_tanh", "sigmoid", "elu", "softplus"])
@pytest.mark.parametrize("mode", ["train", "predict"])
def test_an_activation_goes_into_the_dense_before_it(kind, mode):
    program = compiled(dense(kind), mode)
    assert named(program, "activation", "forward") == []
    assert named(program, "dense", "forward")[0].params["activation"] == kind


@pytest.mark.parametrize("mode", ["train", "predict"])
def test_an_activation_layer_goes_into_the_conv2d_before_it(mode):
    model = ck.Sequential(
        [ck.Input((4, 4, 1)), ck.layers.Conv2D(2, 3), ck.layers.Activation("relu")]
    )
    program = compiled(model, mode)
    assert named(program, "activation", "forward") == []
    assert named(program, "conv2d", "forward")[0].params["activation"] == "relu"


@pytest.mark.parametrize("kind", ["gelu", "silu"])
def test_what_needs_its_input_backwards_is_fused_in_predict_only(kind):
    train, predict = compiled(dense(kind)), compiled(dense(kind), "predict")
    assert calls(train)[:3] == ["gather_rows.forward", "dense.forward", "activation.forward"]
    assert "activation.backward" in calls(train)
    assert "activation.backward_from_output" not in calls(train)
    assert calls(predict) == ["gather_rows.forward", "dense.forward"]
    assert named(predict, "dense")[0].params["activation"] == kind


def test_an_activation_whose_input_has_two_readers_is_not_fused():
    x = ck.Input((4,))
    h = ck.layers.Dense(4)(x)
    model = ck.Model(x, ck.layers.Add()([h, ck.layers.Activation("relu")(h)]))
    program = compiled(model, "predict")
    assert named(program, "dense")[0].params["activation"] == "linear"
    assert len(named(program, "activation")) == 1


def test_an_activation_whose_input_is_an_output_is_not_fused():
    x = ck.Input((4,))
    h = ck.layers.Dense(4)(x)
    program = compiled(ck.Model(x, [h, ck.layers.Activation("relu")(h)]), "predict")
    assert named(program, "dense")[0].params["activation"] == "linear"
    assert len(named(program, "activation")) == 1


def test_only_the_first_of_two_activations_is_fused():
    x = ck.Input((4,))
    y = ck.layers.Activation("tanh")(ck.layers.Activation("relu")(ck.layers.Dense(4)(x)))
    program = compiled(ck.Model(x, y), "predict")
    assert named(program, "dense")[0].params["activation"] == "relu"
    assert [i.params["activation"] for i in named(program, "activation")] == ["tanh"]


def test_a_view_between_keeps_the_activation_apart():
    x = ck.Input((4, 4, 1))
    y = ck.layers.Activation("relu")(ck.layers.Flatten()(ck.layers.Conv2D(2, 3)(x)))
    program = compiled(ck.Model(x, y), "predict")
    assert named(program, "conv2d")[0].params["activation"] == "linear"


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_softmax_goes_into_its_cross_entropy(loss):
    program = compiled(dense("softmax"), "train", loss=loss)
    assert "softmax.forward" not in calls(program)
    assert "softmax.backward" not in calls(program)
    (i,) = named(program, "loss")
    assert i.params["kind"] == "softmax_cross_entropy"
    assert i.inputs[0] is named(program, "dense", "forward")[0].outputs[0]


def test_softmax_goes_into_its_cross_entropy_through_a_view():
    steps = ck.layers.TimeDistributed(ck.layers.Dense(3, "softmax"))
    model = ck.Sequential([ck.Input((5, 4)), steps])
    program = compiled(model, "train", loss="sparse_categorical_crossentropy")
    assert "softmax.forward" not in calls(program)
    (i,) = named(program, "loss")
    assert i.params["kind"] == "softmax_cross_entropy"
    assert i.inputs[0].spec.shape == (2, 5, 3)
    assert i.inputs[0].root is named(program, "dense", "forward")[0].outputs[0]


def test_softmax_over_other_classes_than_those_of_the_loss_stays():
    """Four distributions over 3 classes are not one over 12."""
    layers = [ck.layers.Reshape((4, 3)), ck.layers.Activation("softmax"), ck.layers.Flatten()]
    model = ck.Sequential([ck.Input((12,)), *layers])
    model.compile("sgd", "categorical_crossentropy")
    assert "softmax.forward" in calls(compiled(model, "train", loss="categorical_crossentropy"))
    x = np.random.default_rng(0).standard_normal((2, 12))
    e = np.exp(x.reshape(2, 4, 3))
    p = (e / e.sum(axis=-1, keepdims=True)).reshape(2, 12)
    expected = -np.log(p[[0, 1], [7, 2]] / p.sum(axis=1)).mean()
    y = np.eye(12)[[7, 2]]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_sigmoid_goes_into_its_binary_cross_entropy():
    program = compiled(dense("sigmoid"), "train", loss="binary_crossentropy")
    assert not [c for c in calls(program) if c.startswith("activation")]
    assert named(program, "loss")[0].params["kind"] == "sigmoid_cross_entropy"
    assert named(program, "dense", "forward")[0].params["activation"] == "linear"


def test_a_loss_of_logits_stays_as_it_is():
    loss = losses.BinaryCrossentropy(from_logits=True)
    program = compiled(dense(), "train", loss=loss)
    assert named(program, "loss")[0].params["kind"] == "sigmoid_cross_entropy"
    squared = compiled(dense("softmax"), "train", loss="mse")
    assert "softmax.backward" in calls(squared)


def test_tanh_before_binary_cross_entropy_is_not_taken_for_sigmoid():
    program = compiled(dense("tanh"), "train", loss="binary_crossentropy")
    assert named(program, "loss")[0].params["kind"] == "binary_cross_entropy"
    assert named(program, "dense", "forward")[0].params["activation"] == "tanh"


def test_softmax_stays_only_where_it_is_an_output():
    program = compiled(dense("softmax"), "evaluate", loss="sparse_categorical_crossentropy")
    assert named(program, "softmax") == [] and program.output == []
    assert named(program, "loss")[0].params["kind"] == "softmax_cross_entropy"
    assert calls(compiled(dense("softmax"), "predict"))[-1] == "softmax.forward"


def trained(model, loss, metric):
    model.build()
    shape = tuple(model.outputs[0].shape[1:])
    loss = losses.get(loss)
    target = Spec(shape[:-1], "int32") if loss.sparse else Spec(shape)
    chosen = resolve([metrics.get(metric)], [], loss.sparse, shape[-1])
    return compile_program(
        model, "train", 2, inputs=[Spec((4,))], target=target, indexed=False, loss=loss,
        metrics=chosen,
    )  # fmt: skip


def test_accuracy_looks_at_the_logits():
    program = trained(dense("softmax"), "sparse_categorical_crossentropy", "accuracy")
    (accuracy,) = named(program, "accuracy")
    assert "softmax.forward" not in calls(program)
    assert accuracy.inputs[0] is named(program, "dense", "forward")[0].outputs[0]


def test_binary_accuracy_keeps_the_probabilities():
    """Its threshold is one of probabilities, so softmax or sigmoid must be computed."""
    program = trained(dense("softmax"), "categorical_crossentropy", "binary_accuracy")
    (softmax,), (accuracy,) = named(program, "softmax", "forward"), named(program, "accuracy")
    assert accuracy.params["kind"] == "binary"
    assert accuracy.inputs[0].root is softmax.outputs[0]
    assert named(program, "loss")[0].params["kind"] == "softmax_cross_entropy"
    program = trained(dense("sigmoid"), "binary_crossentropy", "binary_accuracy")
    assert len(named(program, "activation", "forward")) == 1
    assert named(program, "loss")[0].params["kind"] == "sigmoid_cross_entropy"
    assert named(program, "dense", "forward")[0].params["activation"] == "linear"


def test_a_whole_branch_that_nobody_reads_goes():
    x = ck.Input((4,))
    read = ck.layers.Dense(3, name="read")(x)
    unread = ck.layers.Dense(3, "gelu", name="unread")(ck.layers.Dense(3, name="before")(x))
    program = compiled(ck.Model(x, [read, unread]), "train")
    assert {i.layer for i in named(program, "dense")} == {"read"}
    assert named(program, "activation") == []


@pytest.mark.parametrize("loss", ["binary_crossentropy", "mse"])
def test_fusing_changes_no_number(loss, monkeypatch):
    def numbers():
        ck.set_seed(1)
        model = dense("sigmoid")
        model.compile("sgd", loss, metrics=["accuracy"] if loss != "mse" else None)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((20, 4)).astype(np.float32)
        y = (x[:, :3] > 0).astype(np.float32)
        history = model.fit(x, y, epochs=3, batch_size=8, verbose=0).history
        return [*model.get_weights(), model.predict(x, verbose=0)], history

    fused, logs = numbers()
    monkeypatch.setattr("convkit.program.fuse.PATTERNS", ())
    plain, plain_logs = numbers()
    for a, b in zip(fused, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    for key, values in logs.items():
        np.testing.assert_allclose(values, plain_logs[key], rtol=2e-5)


def characters(first, cell="LSTM"):
    recurrent = getattr(ck.layers, cell)(6, return_sequences=True)
    return ck.Sequential([ck.Input((4,)), first, recurrent, ck.layers.Dense(5, "softmax")])


def one_hot(classes=5):
    return ck.layers.CategoryEncoding(classes, "one_hot")


@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("mode", ["train", "predict"])
def test_one_hot_rows_go_into_the_recurrent_layer_behind_them(cell, mode):
    program = compiled(characters(one_hot(), cell), mode)
    assert named(program, "embedding") == []
    assert named(program, "rnn")[0].inputs[0].spec.shape == (2, 4)


def test_one_hot_rows_go_into_both_directions():
    two_ways = ck.layers.Bidirectional(ck.layers.GRU(3))
    program = compiled(ck.Sequential([ck.Input((4,)), one_hot(), two_ways]))
    assert named(program, "embedding") == []
    assert [i.inputs[0].spec.shape for i in named(program, "rnn", "gru_forward")] == [(2, 4)] * 2


def test_one_hot_rows_with_two_readers_are_not_fused():
    x = ck.Input((4,))
    rows = one_hot()(x)
    model = ck.Model(x, [ck.layers.LSTM(3)(rows), rows])
    assert len(named(compiled(model, "predict"), "embedding")) == 1
