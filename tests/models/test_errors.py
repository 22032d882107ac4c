"""Mistakes: each is met by the right exception and a way out."""

import re
import threading

import numpy as np
import pytest

import convkit as ck
from models.conftest import blobs, classifier

X, Y = blobs(16)


def bare():
    return ck.Sequential([ck.Input((4,)), ck.layers.Dense(3, "softmax")])


@pytest.mark.parametrize("verb", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_not_compiled(verb):
    with pytest.raises(ck.NotCompiledError, match=r"call compile\(\) first"):
        getattr(bare(), verb)(X, Y)
    bare().predict(X, verbose=0)  # needs none


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"optimizer": "adamm"}, ValueError, "did you mean 'adam'"),
        ({"loss": "sparse_categorical_crosentropy"}, ValueError, "did you mean 'sparse_categ"),
        ({"metrics": ["acuracy"]}, ValueError, "did you mean 'accuracy'"),
        ({"loss": None}, ValueError, "needs a loss"),
        ({"loss": ["mse", "mse"]}, TypeError, "one loss"),
        ({"metrics": [["accuracy"]]}, TypeError, "flat list"),
        ({"loss_weights": [1.0]}, TypeError, "loss_weights"),
        ({"steps_per_execution": 10}, TypeError, "steps_per_execution=10"),
        ({"jit_compile": True}, TypeError, "jit_compile"),
        ({"auto_scale_loss": False}, TypeError, "auto_scale_loss"),
        ({"metric": ["accuracy"]}, TypeError, "did you mean 'metrics'"),
    ],
)
def test_compile(options, kind, text):
    with pytest.raises(kind, match=text):
        bare().compile(**{"loss": "mse", **options})


def test_harmless_arguments_of_compile():
    bare().compile("adam", "mse", steps_per_execution=1, jit_compile="auto", auto_scale_loss=True)


@pytest.mark.parametrize(
    ("verb", "options", "text"),
    [
        ("fit", {"epoch": 3}, "did you mean 'epochs'"),
        ("fit", {"validation_spilt": 0.1}, "did you mean 'validation_split'"),
        ("evaluate", {"return_dic": True}, "did you mean 'return_dict'"),
        ("predict", {"batchsize": 3}, "did you mean 'batch_size'"),
    ],
)
def test_unknown_arguments(verb, options, text):
    data = (X,) if verb == "predict" else (X, Y)
    with pytest.raises(TypeError, match=text):
        getattr(classifier(), verb)(*data, **options)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"batch_size": 2.5}, TypeError, "whole number"),
        ({"epochs": -1}, ValueError, "epochs is -1"),
        ({"epochs": None}, TypeError, "epochs must be a whole number"),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch is 0"),
        ({"validation_steps": 0}, ValueError, "validation_steps is 0"),
        ({"validation_batch_size": 0}, ValueError, "validation_batch_size is 0"),
        ({"initial_epoch": -1}, ValueError, "initial_epoch is -1"),
        ({"shuffle": "rows"}, TypeError, 'shuffle must be True, False or "batch"'),
        ({"validation_split": "a"}, TypeError, "validation_split must be a number"),
        ({"verbose": 7}, ValueError, "verbose"),
        ({"validation_data": (X,)}, ValueError, "validation_data"),
    ],
)
def test_arguments_of_fit(options, kind, text):
    with pytest.raises(kind, match=text):
        classifier().fit(X, Y, **{"verbose": 0, **options})


@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_steps_of_none_at_all(verb):
    data = (X,) if verb == "predict" else (X, Y)
    with pytest.raises(ValueError, match=rf"\[{verb}\] steps is 0"):
        getattr(classifier(), verb)(*data, steps=0)


def test_missing_data():
    with pytest.raises(ValueError, match="y is missing"):
        classifier().fit(X, verbose=0)
    with pytest.raises(TypeError, match="x is missing"):
        classifier().fit(verbose=0)
    with pytest.raises(TypeError, match="float"):
        classifier().fit(3.0, Y, verbose=0)


def test_several_outputs_are_for_predict_only():
    x = ck.Input((4,))
    model = ck.Model(x, [ck.layers.Dense(1, name="a")(x), ck.layers.Dense(2, name="b")(x)])
    model.compile("adam", "mse")
    assert [p.shape for p in model.predict(X, verbose=0)] == [(16, 1), (16, 2)]
    with pytest.raises(ValueError, match="2 outputs"):
        model.fit(X, Y, verbose=0)


def exploding():
    model = ck.Sequential(
        [
            ck.Input((4,)),
            ck.layers.Dense(8, name="first"),
            ck.layers.Dense(8, name="second"),
            ck.layers.Dense(1, name="third"),
        ]
    )
    model.compile(ck.optimizers.SGD(1e8), "mse")
    return model


def test_divergence_names_epoch_batch_layer_and_pass():
    model = exploding()
    with pytest.raises(ck.NonFiniteError) as caught:
        model.fit(X, Y.astype("float32"), epochs=50, batch_size=4, verbose=0)
    error = caught.value
    text = str(error)
    assert f"epoch {error.epoch + 1}, batch {error.batch + 1}" in text
    assert error.where in text and "learning rate" in text
    assert model.optimizer.iterations == 4 * error.epoch + error.batch


def test_weights_are_those_from_before_the_step():
    model = exploding()
    model.get_layer("second").kernel.value[...] = 1e30
    model.get_layer("third").kernel.value[...] = 1e30
    before = model.get_weights()
    with pytest.raises(ck.NonFiniteError) as caught:
        model.fit(X, Y.astype("float32"), verbose=0)
    assert (caught.value.epoch, caught.value.batch) == (0, 0)
    assert caught.value.layer == "third" and caught.value.where == "dense.forward"
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.optimizer.iterations == 0


def test_nan_in_the_data_names_the_sample():
    x = X.copy()
    x[11, 2] = np.nan
    with pytest.raises(ck.NonFiniteError, match=r"x\[11\] holds NaN") as caught:
        classifier().fit(x, Y, batch_size=4, verbose=0)
    assert caught.value.where == "gather_rows.forward"


def test_nan_in_the_weights_names_the_parameter():
    model = classifier()
    model.get_layer("out").bias.value[1] = np.inf
    with pytest.raises(ck.NonFiniteError, match=r"out\.bias"):
        model.fit(X, Y, verbose=0)


def test_nan_with_every_executor():
    for kind in ("native", "eager", "reference"):
        model = classifier()
        model.executor = kind
        x = X.copy()
        x[3, 0] = np.nan
        with pytest.raises(ck.NonFiniteError, match=r"x\[3\]"):
            model.fit(x, Y, verbose=0, shuffle=False)


def test_weights_that_were_set_to_nan_are_not_blamed_on_training():
    model = classifier()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    with pytest.raises(ck.NonFiniteError, match=r"parameter hidden\.kernel is not finite\. The"):
        model.fit(X, Y, verbose=0)


def test_complex_weights_are_refused():
    model = classifier()
    with pytest.raises(TypeError, match="real numbers, got complex"):
        model.set_weights([w + 0j for w in model.get_weights()])
    with pytest.raises(TypeError, match="real numbers, got complex"):
        model.get_layer("out").bias.assign(np.zeros(3) + 0j)


def test_binary_targets_outside_0_to_1():
    model = classifier(classes=1, loss="binary_crossentropy")
    y = np.zeros(16)
    y[5] = -1
    with pytest.raises(ValueError, match=r"y = -1 at index \(5, 0\)"):
        model.fit(X, y, verbose=0)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_class_weights_are_not_negative(weight):
    with pytest.raises(ValueError, match="of class 1 must be finite and not negative"):
        classifier().fit(X, Y, class_weight={0: 1.0, 1: weight}, verbose=0)


def test_softmax_twice_is_warned_of():
    loss = ck.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.warns(UserWarning, match=r"'out' ends in softmax.*once more"):
        classifier(loss=loss).fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("loss", "y", "name"),
    [
        ("sparse_categorical_crossentropy", Y, "softmax"),
        (ck.losses.CategoricalFocalCrossentropy(gamma=1.0), np.eye(3)[Y], "softmax"),
        ("binary_crossentropy", np.eye(3)[Y], "sigmoid"),
    ],
)
def test_a_loss_of_probabilities_behind_no_activation_is_warned_of(loss, y, name):
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(3, name="out")])
    model.compile("sgd", loss)
    with pytest.warns(UserWarning, match=f"'out' has no activation.*activation='{name}'.*logits"):
        model.fit(X, y, verbose=0)


def logits(loss, outputs, *metrics):
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(outputs)])
    model.compile("sgd", loss, metrics=list(metrics))
    return model


def test_metrics_of_probabilities_behind_logits_are_warned_of():
    m = ck.metrics
    loss = ck.losses.BinaryCrossentropy(from_logits=True)
    wrong = "'accuracy' (threshold=0), 'auc' (from_logits=True), 'precision' (thresholds=0); give"
    with pytest.warns(UserWarning, match=re.escape(wrong)):
        logits(loss, 1, "accuracy", "auc", "precision").fit(X, Y > 1, verbose=0)
    loss = ck.losses.SparseCategoricalCrossentropy(from_logits=True)
    wrong = "'perplexity' (from_logits=True), 'recall'; give"
    with pytest.warns(UserWarning, match=re.escape(wrong)):
        logits(loss, 3, "accuracy", "perplexity", m.Recall()).fit(X, Y, verbose=0)


def test_metrics_of_logits_are_not_warned_of():  # a warning is an error in these tests
    m = ck.metrics
    loss = ck.losses.BinaryCrossentropy(from_logits=True)
    right = [m.BinaryAccuracy(threshold=0), m.AUC(from_logits=True), m.Precision(thresholds=0)]
    right.append(m.BinaryCrossentropy(from_logits=True))
    logits(loss, 1, *right).fit(X, Y > 1, verbose=0)
    loss = ck.losses.SparseCategoricalCrossentropy(from_logits=True)
    right = ["accuracy", m.Perplexity(from_logits=True), m.Recall(top_k=1), m.F1Score("macro")]
    logits(loss, 3, *right).fit(X, Y, verbose=0)


@pytest.mark.parametrize("name", ["validation_data", "test_data"])
def test_empty_parts(name):
    with pytest.raises(ValueError, match=rf"{name} is empty"):
        classifier().fit(X, Y, verbose=0, **{name: (X[:0], Y[:0])})


@pytest.mark.parametrize("key", ["one", "1", 0.5, None])
def test_classes_of_class_weights_are_numbers(key):
    with pytest.raises(TypeError, match=r"class_weight has class .*whole numbers"):
        classifier().fit(X, Y, class_weight={0: 1.0, key: 2.0}, verbose=0)


def test_the_argument_with_the_wrong_dtype_is_named():
    with pytest.raises(TypeError, match=r"y has dtype float16.*y\.astype"):
        classifier(loss="mse").fit(X, np.zeros((16, 3), "float16"), verbose=0)


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: ck.optimizers.get("adafactor"), "did you mean"),
        (lambda: ck.optimizers.get("lamb"), "did you mean"),
        (lambda: ck.losses.get("ctc"), "did you mean"),
        (lambda: ck.losses.SparseCategoricalCrossentropy(label_smoothing=0.1), "did you mean"),
    ],
)
def test_no_wrong_suggestions(make, wrong):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert wrong not in str(caught.value)


def test_numbers_beyond_float32_are_told_from_nan():
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.full((4, 2), 1e300), np.zeros((4, 1))
    with pytest.raises(
        ck.NonFiniteError, match=r"or numbers beyond what float32 holds \(3\.4e38\)"
    ):
        model.fit(x, y, verbose=0)
    x = np.full((4, 2), np.nan, np.float32)
    with pytest.raises(ck.NonFiniteError, match="holds NaN or infinity") as found:
        model.fit(x, y, verbose=0)
    assert "float32 holds" not in str(found.value)


def test_a_second_thread_cannot_train_the_same_model():
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((4, 2), np.float32), np.ones((4, 1), np.float32)
    refused = []

    def fit():
        try:
            model.fit(x, y, verbose=0)
        except RuntimeError as error:
            refused.append(str(error))

    class Meanwhile(ck.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            thread = threading.Thread(target=fit)
            thread.start()
            thread.join()

    model.fit(x, y, callbacks=[Meanwhile()], verbose=0)
    assert len(refused) == 1 and "[fit] another thread is training this model: wait" in refused[0]
    thread = threading.Thread(target=fit)  # now it may
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_more_threads_than_there_can_be():
    with pytest.raises(
        ValueError, match=r"\[set_num_threads\] there cannot be 1000000000000 threads"
    ):
        ck.set_num_threads(10**12)


@pytest.mark.parametrize("padding", ["full", "sme"])
def test_an_unknown_padding_is_refused_at_once(padding):
    with pytest.raises(ValueError, match=rf"conv.*padding must be .*got '{padding}'"):
        ck.layers.Conv2D(4, 3, padding=padding, name="conv")


def test_a_kernel_needs_a_name():
    with pytest.raises(ValueError, match=r"\[dense\] the name of a kernel is empty"):
        ck.ops.register("dense", " ", lambda *_: None)
    with pytest.raises(TypeError, match=r"\[dense\] the name of a kernel is a text, .* not 3"):
        ck.ops.register("dense", 3, lambda *_: None)
