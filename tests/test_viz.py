"""Plots: what the figures hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck

pytest.importorskip("matplotlib")

X = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 2, 40)


def trained(**options: Any) -> Any:
    ck.set_seed(0)
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", regularizer="l2")
    return model.fit(X, Y, epochs=6, verbose=0, **options)


def curves(figure: Any) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    return {
        panel.get_title(): {
            line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
            for line in panel.get_lines()
        }
        for panel in figure.axes
    }


def test_error_and_regularisation_are_apart_on_three_parts(tmp_path: Any) -> None:
    history = trained(split=(0.5, 0.25, 0.25), validation_freq=[2, 5])
    figure = history.plot(tmp_path / "history.png")
    drawn = curves(figure)
    assert list(drawn) == ["loss", "error", "regularization"]
    for name, lines in drawn.items():
        assert list(lines) == ["training", "selection", "testing"]
        assert lines["training"] == ([1, 2, 3, 4, 5, 6], history.history[name])
        assert lines["selection"] == ([2, 5], history.history[f"val_{name}"])
        assert lines["testing"] == ([2, 5], history.history[f"test_{name}"])
    assert "all 6 epochs done" in figure.get_suptitle()
    assert (tmp_path / "history.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no epoch was recorded"):
        ck.callbacks.History().plot()


def test_metrics_of_classes() -> None:
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(2, "softmax")])
    metrics = ["f1_score", "confusion_matrix"]
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics)
    history = model.fit(X, Y, epochs=3, verbose=0)
    loss, scores = history.plot().axes
    assert scores.get_title() == "f1_score" and loss.get_title() == "loss"
    drawn = [list(line.get_ydata()) for line in scores.get_lines()]
    assert drawn == np.transpose(history.history["f1_score"]).tolist()
