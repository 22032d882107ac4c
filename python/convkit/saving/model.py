"""Models in files: layers and weights, and what compile and training left.

A file is an archive of `convkit.saving.files` with the members

config.json
    Format, class and name of the model, its layers with their configurations, the graph as calls of
    these, flags of the weights, and what ``compile`` was given.
weights.safetensors
    Every weight under its path, such as "conv1.kernel", with states that are carried on.
constants.safetensors
    Arrays among the arguments of layers and the like, if there are any.
optimizer.safetensors
    The optimizer's state by weight, of a model that was trained.

To load one never runs code from the file: classes are looked up in a closed table, and what is not
the package's own has to be passed in.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convkit.saving.files import write_archive
from convkit.saving.packing import Layers, pack

if TYPE_CHECKING:
    from convkit.models.model import Model
    from convkit.ops.registry import Array
    from convkit.run.store import Store

__all__ = [
    "CONFIG",
    "CONSTANTS",
    "OPTIMIZER",
    "WEIGHTS",
    "model_members",
    "save_model",
    "slot_arrays",
    "slot_names",
]

Members = dict[str, dict[str, Any]]
StrPath = str | os.PathLike[str]

FORMAT = 1
SUFFIX = ".convkit"
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
OPTIMIZER, CONSTANTS = "optimizer.safetensors", "constants.safetensors"
# Of a parameter, by what the file calls them; those that it has.
FLAGS = {
    "trainable": "_trainable",
    "frozen": "frozen",
    "lr_multiplier": "_lr_multiplier",
    "layer_multiplier": "layer_multiplier",
}


def save_model(
    model: Model, filepath: StrPath, include_optimizer: bool = True, overwrite: bool = True
) -> Path:
    """Write a model to a file; see `convkit.Model.save`."""
    path = with_suffix(filepath)
    return write_archive(path, model_members(model, include_optimizer), overwrite)


def with_suffix(filepath: StrPath) -> Path:
    """The path of a model's file.

    Raises
    ------
    ValueError
        If it has the suffix of another format.
    """
    path = Path(filepath)
    path = path if path.suffix else path.with_suffix(SUFFIX)
    if path.suffix != SUFFIX:
        weights = path.suffix in (".npz", ".safetensors") or ".weights" in path.suffixes
        raise ValueError(
            f"a model is saved as a file {SUFFIX!r}, got {str(filepath)!r}; "
            + (f"call save_weights({str(path)!r})" if weights else f"name it {path.stem}{SUFFIX}")
        )
    return path


def model_members(model: Model, include_optimizer: bool = True) -> Members:
    """The members of a model's file, for `write_archive`.

    Parameters
    ----------
    model : Model
    include_optimizer : bool
        Whether what `compile` was given and the optimizer's state are part of it.

    Returns
    -------
    dict of str to dict
        Others may be added; they are ignored when the model is loaded.

    Raises
    ------
    TypeError, ValueError
        If a part of the model cannot be saved; the message says which.
    """
    from convkit import __version__

    if model.inputs:
        model.build()
    layers = Layers({})
    config: dict[str, Any] = {
        "format": FORMAT,
        "convkit": __version__,
        "model": {**_class(model), "name": model.name, **_graph(model, layers)},
        "weights": {
            p.path: {flag: vars(p)[key] for flag, key in FLAGS.items()} for p in model.parameters
        },
    }
    members: Members = {CONFIG: config, WEIGHTS: {p.path: p.value for p in model.parameters}}
    if include_optimizer and model._compiled is not None:
        config["compiled"] = _compiled(model, layers)
        if model._has_slots:
            config["optimizer"], members[OPTIMIZER] = _optimizer_state(model, layers)
    config["layers"] = layers.packed
    if layers.arrays:
        members[CONSTANTS] = layers.arrays
    return members


def _class(model: Model) -> dict[str, str]:
    from convkit.models.model import Model
    from convkit.models.sequential import Sequential

    kind = type(model)
    return {"class" if kind in (Model, Sequential) else "custom": kind.__name__}


def _graph(model: Model, layers: Layers) -> dict[str, Any]:
    """How layers are called: nodes by number, first the inputs, then each call's."""
    from convkit.models.graph import nodes_of

    at = {id(node): i for i, node in enumerate(nodes_of(model))}
    graph: dict[str, Any] = {
        "inputs": [layers.number(node.layer) for node in model.inputs],
        "calls": [],
        "outputs": [at[id(node)] for node in model.outputs],
    }
    for call in model.calls:
        told = {"layer": layers.number(call.layer), "inputs": [at[id(n)] for n in call.inputs]}
        graph["calls"].append({**told, "training": False} if call.inference else told)
    if not model.inputs:  # a chain that does not know its input's shape yet
        graph["chain"] = [layers.number(layer) for layer in model.layers]
    return graph


def _compiled(model: Model, layers: Layers) -> dict[str, Any]:
    """What compile was given."""
    assert model._compiled is not None
    told: dict[str, Any] = {"run_eagerly": model.run_eagerly}
    told |= {**model._compiled.policy.arguments(), "kernels": model._compiled.all_kernels()}
    for field in dataclasses.fields(model._compiled):
        if field.name in ("policy", "kernels"):
            continue
        value, title = getattr(model._compiled, field.name), f"compile: {field.name}"
        try:
            told[field.name] = pack(value, title, layers.arrays, layers)
        except TypeError as error:
            raise TypeError(f"{error}; or save with include_optimizer=False") from None
    return told


def _optimizer_state(model: Model, layers: Layers) -> tuple[dict[str, Any], dict[str, Any]]:
    """The optimizer's numbers, and its arrays parameter by parameter."""
    optimizer, store = model.optimizer, model.store
    numbers = {
        "iterations": optimizer.iterations,
        "slots": len(store.slots),
        "own": pack(optimizer.get_state(), "optimizer", layers.arrays),
    }
    return numbers, slot_arrays(store)


def slot_names(slots: int, paths: Sequence[str]) -> list[str]:
    """Names of the optimizer's arrays: "0.conv1.kernel" is the first state of that weight."""
    return [f"{k}.{path}" for k in range(slots) for path in paths]


def slot_arrays(store: Store) -> dict[str, Array]:
    """The optimizer's state weight by weight under these names, as views to read and to write."""
    views = [store.slot(k, p) for k in range(len(store.slots)) for p in store.members]
    names = slot_names(len(store.slots), [p.path for p in store.members])
    return dict(zip(names, views, strict=True))
