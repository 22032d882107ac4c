"""convkit trains the classical neural networks fast and proves that its kernels are right.

``import convkit as ck``, then the Keras dialect:

>>> import convkit as ck
>>> model = ck.Sequential([ck.Input((28, 28, 1)), ck.layers.Flatten(), ck.layers.Dense(10)])
>>> model.count_params()
7850
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from convkit.errors import BuildError, NonFiniteError, NotCompiledError

if TYPE_CHECKING:
    from convkit import (
        activations,
        bench,
        callbacks,
        cuda,
        data,
        datasets,
        initializers,
        layers,
        losses,
        metrics,
        models,
        nn,
        ops,
        optimizers,
        regularizers,
        saving,
        schedules,
        testing,
        utils,
    )
    from convkit.activations import CustomActivation as Activation
    from convkit.layers.input import Input
    from convkit.losses.custom import CustomLoss as Loss
    from convkit.models.model import Model
    from convkit.models.sequential import Sequential
    from convkit.random import set_seed
    from convkit.saving.loading import load_model
    from convkit.threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "BuildError",
    "Input",
    "Loss",
    "Model",
    "NonFiniteError",
    "NotCompiledError",
    "Sequential",
    "__version__",
    "activations",
    "bench",
    "callbacks",
    "cuda",
    "data",
    "datasets",
    "get_num_threads",
    "initializers",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "models",
    "nn",
    "ops",
    "optimizers",
    "regularizers",
    "saving",
    "schedules",
    "set_num_threads",
    "set_seed",
    "testing",
    "utils",
]

# Loaded at first use, so that `import convkit` costs next to nothing.
_MODULES = frozenset(
    {
        "activations", "bench", "callbacks", "cli", "cuda", "data", "datasets", "errors",
        "initializers", "layers", "losses", "metrics", "models", "nn", "ops", "optimizers",
        "program", "random", "reference", "regularizers", "run", "saving", "schedules",
        "testing", "utils", "viz",
    }
)  # fmt: skip
_OBJECTS = {
    "Activation": "convkit.activations:CustomActivation",
    "Input": "convkit.layers.input",
    "Loss": "convkit.losses.custom:CustomLoss",
    "Model": "convkit.models.model",
    "Sequential": "convkit.models.sequential",
    "check_gradients": "convkit.testing",
    "get_num_threads": "convkit.threads",
    "load_model": "convkit.saving.loading",
    "set_num_threads": "convkit.threads",
    "set_seed": "convkit.random",
}


def __getattr__(name: str) -> Any:
    if name == "_core":
        return _native_module()
    if name in _OBJECTS:
        module, _, own = _OBJECTS[name].partition(":")
        value = getattr(importlib.import_module(module), own or name)
        globals()[name] = value
        return value
    if name in _MODULES:
        try:
            return importlib.import_module(f"convkit.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"convkit.{name}":
                raise
    raise AttributeError(f"module 'convkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))


def _native_module() -> Any:
    try:
        return importlib.import_module("convkit._core")
    except ModuleNotFoundError as error:
        if error.name != "convkit._core":
            raise
        raise BuildError(
            "convkit's native module is not built: run `pip install .` or `python3 dev.py build`"
        ) from None
    except ImportError as error:
        raise BuildError(
            f"convkit's native module does not load ({error}): build it again with "
            "`pip install .` or `python3 dev.py build`"
        ) from error
