"""Metrics of models: the numbers that NumPy gives on the predictions, in any batches, with
weights and masks, in all executors.
"""

import csv
import math

import numpy as np
import pytest

import convkit as ck
from convkit import layers, losses, metrics
from models.conftest import blobs, classifier


def binary(**options):
    model = ck.Sequential([ck.Input((4,)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "bce", **options)
    return model


ALL = [
    "accuracy",
    metrics.Precision(),
    metrics.Recall(class_id=1),
    metrics.AUC(),
    metrics.AUC(curve="PR", name="pr"),
    metrics.F1Score(),
    metrics.F1Score("macro", name="macro"),
    metrics.ConfusionMatrix(),
    metrics.Perplexity(),
    metrics.TruePositives([0.2, 0.6]),
]


def on_arrays(y, p, weight=None):
    """The same metrics on arrays, by name."""
    found = {}
    for metric in ALL:
        m = metrics.get(metric)
        if m.name == "accuracy" and y.ndim == p.ndim:  # on arrays it is that of equal values
            m = metrics.CategoricalAccuracy("accuracy")
        value = m.named(m.name, False)(y, p, weight)
        found[m.name] = value.tolist() if isinstance(value, np.ndarray) else value
    return found


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize("batch", [7, 30, 100])
def test_models_and_arrays_agree(loss, batch):
    x, y = blobs(30)
    y = y if loss.startswith("sparse") else np.eye(3)[y]
    model = classifier(loss=loss, metrics=ALL)
    want = on_arrays(y, model.predict(x, verbose=0))
    logs = model.evaluate(x, y, batch_size=batch, verbose=0, return_dict=True)
    assert set(logs) == {"loss", *want}
    for name, value in want.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("executor", ["eager", "reference"])
def test_executors_agree(executor):
    x, y = blobs(30)
    model = classifier(metrics=ALL)
    want = model.evaluate(x, y, verbose=0, return_dict=True)
    model.executor = executor
    got = model.evaluate(x, y, verbose=0, return_dict=True)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, err_msg=name)


def test_sample_weights_count_in_weighted_metrics_only():
    x, y = blobs(30)
    weight = np.random.default_rng(0).choice([0.0, 0.5, 2.0], 30)
    model = classifier(metrics=ALL, weighted_metrics=ALL)
    p = model.predict(x, verbose=0)
    plain, weighted = on_arrays(y, p), on_arrays(y, p, weight)
    logs = model.evaluate(x, y, 11, verbose=0, sample_weight=weight, return_dict=True)
    for name in plain:
        np.testing.assert_allclose(logs[name], plain[name], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(logs[f"weighted_{name}"], weighted[name], rtol=1e-5)
    assert logs["confusion_matrix"] != logs["weighted_confusion_matrix"]


def test_regression_metrics():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)), rng.normal(2, 1, (40, 2))
    weight = rng.choice([0.0, 0.5, 2.0], 40)
    listed = ["mse", "rmse", "mae", metrics.R2Score(), metrics.R2Score(None, name="each")]
    model = ck.Sequential([ck.Input((4,)), layers.Dense(2)])
    model.compile("sgd", "mse", metrics=listed, weighted_metrics=listed)
    p = model.predict(x, verbose=0).astype(float)
    logs = model.evaluate(x, y, 9, verbose=0, sample_weight=weight, return_dict=True)
    for prefix, w in (("", np.ones(40)), ("weighted_", weight)):
        share = w[:, None] / w.sum()
        mean = (share * y).sum(0)
        r2 = 1 - (share * (y - p) ** 2).sum(0) / (share * (y - mean) ** 2).sum(0)
        mse = (share * (y - p) ** 2).sum(0).mean()
        assert logs[f"{prefix}mse"] == pytest.approx(mse, rel=1e-5)
        assert logs[f"{prefix}rmse"] == pytest.approx(math.sqrt(mse), rel=1e-5)
        mae = (share * abs(y - p)).sum(0).mean()
        assert logs[f"{prefix}mae"] == pytest.approx(mae, rel=1e-5)
        assert logs[f"{prefix}each"] == pytest.approx(r2.tolist(), rel=1e-4)
        assert logs[f"{prefix}r2_score"] == pytest.approx(r2.mean(), rel=1e-4)


def test_masks_leave_steps_out_of_every_metric():
    rng = np.random.default_rng(2)
    lengths = np.array([6, 1, 3, 4, 2])
    mask = np.arange(6) < lengths[:, None]
    x, y = np.where(mask, rng.integers(1, 9, (5, 6)), 0), rng.integers(0, 3, (5, 6))
    model = ck.Sequential(
        [
            ck.Input((6,)),
            layers.Embedding(9, 4, mask_zero=True),
            layers.LSTM(5, return_sequences=True),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=ALL, weighted_metrics=ALL)
    weight = rng.choice([0.5, 2.0], 5)
    p = model.predict(x, verbose=0)[mask]
    each = np.broadcast_to(weight[:, None], mask.shape)[mask]
    plain, weighted = on_arrays(y[mask], p), on_arrays(y[mask], p, each)
    for batch in (5, 2):
        logs = model.evaluate(x, y, batch, verbose=0, sample_weight=weight, return_dict=True)
        for name in plain:
            np.testing.assert_allclose(logs[name], plain[name], rtol=1e-5, err_msg=name)
            np.testing.assert_allclose(logs[f"weighted_{name}"], weighted[name], rtol=1e-5)


def test_one_output():
    x, y = blobs(40, classes=2)
    listed = ["accuracy", "auc", "precision", "recall", "confusion_matrix"]
    model = binary(metrics=[*listed, metrics.F1Score(threshold=0.5)])
    p = model.predict(x, verbose=0)[:, 0]
    logs = model.evaluate(x, y, 16, verbose=0, return_dict=True)
    matrix = np.zeros((2, 2))
    for actual, predicted in zip(y, p > 0.5, strict=True):
        matrix[actual, int(predicted)] += 1
    assert logs["confusion_matrix"] == matrix.tolist()
    (_, fp), (fn, tp) = matrix
    assert logs["accuracy"] == np.trace(matrix) / 40
    assert logs["precision"] == tp / (tp + fp) and logs["recall"] == tp / (tp + fn)
    assert logs["f1_score"] == pytest.approx([2 * tp / (2 * tp + fp + fn)])
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]]
    assert logs["auc"] == pytest.approx(np.mean(pairs), abs=0.02)
    with pytest.raises(ValueError, match="with one output"):
        binary(metrics=[metrics.F1Score()]).fit(x, y, verbose=0)


def test_metrics_of_classes_are_lists_in_the_history(tmp_path, capsys):
    x, y = blobs(30)
    model = classifier(metrics=["accuracy", "f1_score", "confusion_matrix"])
    log = ck.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    history = model.fit(x, y, epochs=2, verbose=2, validation_split=0.2, callbacks=[log]).history
    assert np.shape(history["f1_score"]) == (2, 3)
    assert np.shape(history["val_confusion_matrix"]) == (2, 3, 3)
    assert np.sum(history["val_confusion_matrix"][1]) == 6
    assert np.sum(history["confusion_matrix"][0]) == 24
    printed = capsys.readouterr().out
    assert "val_accuracy" in printed and "f1_score" not in printed
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [len(rows), rows[0]["f1_score"].count(",")] == [2, 2]
    value = model.evaluate(x, y, verbose=0)
    assert len(value) == 4 and np.shape(value[3]) == (3, 3)
    assert np.shape(model.train_on_batch(x, y, return_dict=True)["f1_score"]) == (3,)


def test_early_stopping_knows_the_direction():
    x, y = blobs(30)
    model = classifier(metrics=["precision", metrics.FalsePositives()])
    for name, rises in (("val_precision", True), ("val_false_positives", False)):
        stop = ck.callbacks.EarlyStopping(monitor=name, patience=50)
        model.fit(x, y, epochs=1, verbose=0, validation_split=0.2, callbacks=[stop])
        assert stop.maximise is rises


def test_a_matrix_of_softmax_takes_the_logits():
    model = classifier(metrics=["confusion_matrix"])
    program = model.program("evaluate", 8)
    assert "softmax.forward" not in str(program)


def test_metrics_that_do_not_fit_the_targets():
    x, y = blobs(10)
    for name in ("r2_score", "mae", "top_k_categorical_accuracy"):
        with pytest.raises(ValueError, match="does not fit the loss"):
            classifier(metrics=[name]).fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"class_id 3 is outside 0\.\.2"):
        classifier(metrics=[metrics.Recall(class_id=3)]).fit(x, y, verbose=0)


def test_a_loss_with_a_constant_among_the_metrics():
    x, y = blobs(12)
    loss = losses.DiscriminativeMAP(j=2.0)
    model = classifier(loss=loss, metrics=[loss])
    logs = model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
    assert logs["discriminative_map"] == pytest.approx(logs["loss"], rel=1e-6)


@pytest.mark.parametrize("low", [0, -1])
def test_hinges_of_a_model_with_another_loss(low):
    x, y = blobs(30, classes=2)
    t = np.where(y > 0, 1, low)
    model = ck.Sequential([ck.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["hinge", "squared_hinge"])
    margin = np.maximum(1 - (2 * y - 1) * model.predict(x, verbose=0)[:, 0].astype(float), 0)
    logs = model.evaluate(x, t, batch_size=11, verbose=0, return_dict=True)
    assert logs["hinge"] == pytest.approx(margin.mean(), rel=1e-5)
    assert logs["squared_hinge"] == pytest.approx((margin**2).mean(), rel=1e-5)
