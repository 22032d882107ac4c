"""Models: made by hand, or by name from the classics."""

from __future__ import annotations

from collections.abc import Callable

from convkit.errors import did_you_mean
from convkit.models.alexnet import alexnet
from convkit.models.generate import generate
from convkit.models.hopfield import (
    ContinuousHopfield,
    Hopfield,
    capacity_curve,
    hopfield_queens,
    hopfield_tsp,
)
from convkit.models.kernel_machines import KernelPerceptron, KernelRidge
from convkit.models.kmeans import KMeans
from convkit.models.lenet import LENET5_C3, lenet5
from convkit.models.mlp import mlp
from convkit.models.model import Model
from convkit.models.perceptron import Perceptron
from convkit.models.rbf_network import RBFNetwork
from convkit.models.recurrent import char_rnn, cnn_rnn, forecaster, rnn_classifier
from convkit.models.sequential import Sequential
from convkit.models.threshold_neuron import ThresholdNeuron
from convkit.models.transfer import extract_features, feature_extractor, replace_head
from convkit.models.vgg import vgg11, vgg13, vgg16, vgg19
from convkit.saving.loading import load_model
from convkit.saving.model import save_model

__all__ = [
    "LENET5_C3",
    "ContinuousHopfield",
    "Hopfield",
    "KMeans",
    "KernelPerceptron",
    "KernelRidge",
    "Model",
    "Perceptron",
    "RBFNetwork",
    "Sequential",
    "ThresholdNeuron",
    "alexnet",
    "capacity_curve",
    "char_rnn",
    "cnn_rnn",
    "extract_features",
    "feature_extractor",
    "forecaster",
    "generate",
    "get",
    "hopfield_queens",
    "hopfield_tsp",
    "lenet5",
    "load_model",
    "mlp",
    "names",
    "replace_head",
    "rnn_classifier",
    "save_model",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
]  # fmt: skip

_BUILDERS: dict[str, Callable[..., Model]] = {
    "alexnet": alexnet,
    "char_rnn": char_rnn,
    "cnn_rnn": cnn_rnn,
    "forecaster": forecaster,
    "lenet5": lenet5,
    "mlp": mlp,
    "rnn_classifier": rnn_classifier,
    "vgg11": vgg11,
    "vgg13": vgg13,
    "vgg16": vgg16,
    "vgg19": vgg19,
}


def names() -> list[str]:
    """Return the names that `get` knows."""
    return sorted(_BUILDERS)


def get(name: str) -> Callable[..., Model]:
    """Return the function that makes the model of that name.

    Parameters
    ----------
    name : str

    Returns
    -------
    callable
        All its arguments have defaults.

    Raises
    ------
    ValueError
        If there is none; the message suggests the nearest name.

    Examples
    --------
    >>> from convkit import models
    >>> models.get("lenet5")().count_params()
    61706
    """
    if name not in _BUILDERS:
        raise ValueError(f"unknown model {name!r}{did_you_mean(name, _BUILDERS)}")
    return _BUILDERS[name]
