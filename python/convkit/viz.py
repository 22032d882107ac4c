"""Plots, drawn by matplotlib (``pip install convkit[plot]``)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from convkit.callbacks.history import History
from convkit.errors import missing_extra

__all__ = ["plot_history"]

PARTS = {"": "training", "val_": "selection", "test_": "testing"}


def blank_figure(width: float, height: float) -> Any:
    """A figure of so many inches, which belongs to no window.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise missing_extra("matplotlib", "plot", "plots") from None
    return Figure(figsize=(width, height), layout="constrained")


def plot_history(history: History, path: str | os.PathLike[str] | None = None) -> Any:
    """Draw what a ``fit`` recorded: a panel for each value, a curve for each part of the data.

    The error and the terms of the loss, such as the regularisation, have panels of their own. A
    metric with a number for each class has a curve for each; matrices are left out.

    Parameters
    ----------
    history : History
        What ``fit`` returned.
    path : path, optional
        Write the figure to a file, whose suffix says its format.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If no epoch was recorded.
    """
    if not history.epoch:
        raise ValueError("[plot_history] no epoch was recorded: there is nothing to draw")
    names = [name for name in history.history if not name.startswith(("val_", "test_"))]
    first = [name for name in ("loss", "error") if name in names]
    names = [*first, *(name for name in names if name not in first)]
    names = [name for name in names if np.ndim(history.history[name]) < 3]
    figure = blank_figure(4 * len(names), 3.2)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for prefix, part in PARTS.items():
            values = history.history.get(prefix + name)
            if values is not None:
                epochs = [epoch + 1 for epoch in history.at[prefix + name]]
                panel.plot(epochs, values, label=part, marker="." if len(values) < 30 else "")
        panel.set_xlabel("epoch")
        panel.set_title(name)
    panels[0].legend()
    if history.stopped:
        figure.suptitle(f"ended: {history.stopped}", fontsize="small")
    if path is not None:
        figure.savefig(path)
    return figure
