"""Transfer learning: what a trained model has learnt, put to use for another task.

Three ways, from the cheapest on. **Feature extraction** runs the trained layers once over the data
and trains a small model on what comes out (`feature_extractor`, `extract_features`).
**Fine-tuning** puts a new head on the trained layers, trains it alone while they are frozen, then
all of it with a smaller learning rate, or with one of the layer's own, ``layer.lr_multiplier``
(`replace_head`). **Domain adaptation** trains on labelled data of one domain and unlabelled data of
another (`convkit.layers.CORAL`, `MMD` and `GradientReversal`).

Freezing is ``layer.trainable = False`` and takes effect with the next `compile`, as in Keras. The
optimizer's state of a frozen layer neither changes nor is lost: it is as it was when the layer is
trained again, while Adam's count of steps has gone on. A new optimizer object begins anew. First
weights follow from the seed and their place in the model, so `set_seed` another one before a head
is replaced: with the old seed, a head of the old shape begins with the old one's first weights.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from convkit.layers.base import Layer
from convkit.models.graph import Call, Node, nodes_of
from convkit.models.model import Model
from convkit.ops.registry import Array
from convkit.saving.files import read_archive, write_archive

__all__ = ["extract_features", "feature_extractor", "replace_head"]

BATCH = 256
_KEY, _FEATURES = "features.json", "features.safetensors"  # members of a file of features


def feature_extractor(model: Model, layer: Layer | Node | str | int | None = None) -> Model:
    """A model that ends in an inner layer of another one, with the same weights.

    Parameters
    ----------
    model : Model
        Its shapes must be known.
    layer : Layer, Node, str or int, optional
        Whose output is wanted: a layer, its name or its index, or a node where the layer is used
        more than once. By default what the last layer with weights reads.

    Returns
    -------
    Model
        It shares the weights: what is trained in one is changed in both.

    Raises
    ------
    ValueError
        If there is no such layer, or it is used more than once.

    Examples
    --------
    >>> import convkit as ck
    >>> model = ck.models.lenet5()
    >>> ck.models.feature_extractor(model).output_shape
    (None, 84)
    """
    return Model(_inputs(model), _node(model, layer))


def replace_head(
    model: Model,
    head: Layer | Sequence[Layer],
    layer: Layer | Node | str | int | None = None,
    *,
    freeze: bool = True,
    share: bool = False,
) -> Model:
    """A model with the first layers of a trained one and a new end.

    Parameters
    ----------
    model : Model
    head : Layer or sequence of Layer
        New layers, one after the other.
    layer : Layer, Node, str or int, optional
        The last layer to keep, as in `feature_extractor`.
    freeze : bool
        Whether the layers that are kept are not trained, until their `trainable` is set again (of
        all: ``model.trainable = True``).
    share : bool
        Whether the layers that are kept stay those of `model`, which training then changes too. By
        default they are copies, and `model` stays as it is.

    Returns
    -------
    Model
        Not compiled. It finds the layers that are kept under their names.

    Raises
    ------
    TypeError
        If the head is not made of layers.
    ValueError
        If there is no such layer, or one of the head is connected already or has the name of one
        that is kept.

    Examples
    --------
    >>> import convkit as ck
    >>> old = ck.models.lenet5()
    >>> new = ck.models.replace_head(old, ck.layers.Dense(3, "softmax", name="head"))
    >>> new.output_shape, [layer.name for layer in new.layers if layer.trainable_weights]
    ((None, 3), ['head'])
    """
    layers: list[Layer] = list(head) if isinstance(head, list | tuple) else [head]  # type: ignore[list-item]
    for each in layers:
        if not isinstance(each, Layer):
            raise TypeError(f"[replace_head] a head is made of layers, got {each!r}")
        if each.built and each.parameters:
            raise ValueError(
                f"[replace_head] {each.title} has weights already; make a new layer for the head"
            )
    node = _node(model, layer)
    if not share:
        # Which of the nodes it is, counted: a copy has nodes of its own.
        at = next(i for i, each in enumerate(nodes_of(model)) if each is node)
        model = copy.deepcopy(model)
        node = nodes_of(model)[at]
    if freeze:
        for kept in Model(_inputs(model), node).layers:
            kept.trainable = False
    for each in layers:
        node = each(node)
    return Model(_inputs(model), node)


def extract_features(
    base: Model, x: Any, cache: str | os.PathLike[str] | None = None, *, batch_size: int = BATCH
) -> Array:
    """What a model makes of data, computed once: ``base.predict(x)``, kept in a file.

    Parameters
    ----------
    base : Model
        Of one output, such as `feature_extractor` gives it.
    x : array_like, or a list or dict of them
    cache : path, optional
        A file. If it holds the features of this base with these weights for these data, they
        are read from it; if it holds others, or is not there, they are computed and written.
    batch_size : int

    Returns
    -------
    ndarray of float32, shape (N, ...)

    Raises
    ------
    ValueError
        If the file is something else, which is left as it is; or if a file is given and the base
        has layers in Python, whose change could not be seen.
    """
    if len(base.outputs) > 1:
        raise ValueError(
            f"[extract_features] model {base.name!r} has {len(base.outputs)} outputs; take a base "
            "with one"
        )
    if cache is None:
        return _predict(base, x, batch_size)
    key = _fingerprint(base, x)
    if os.path.exists(cache):
        found, features = _read(cache)
        if found == key:
            return features
    features = _predict(base, x, batch_size)
    write_archive(cache, {_KEY: {"key": key}, _FEATURES: {"features": features}})
    return features


def _predict(base: Model, x: Any, batch_size: int) -> Array:
    features: Array = base.predict(x, batch_size=batch_size, verbose=0)
    return features


def _read(path: str | os.PathLike[str]) -> tuple[str, Array]:
    try:
        members = read_archive(path, [_KEY, _FEATURES])
        return members[_KEY]["key"], members[_FEATURES]["features"]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"[extract_features] {path} is no file of features ({error}); it is left as it is: "
            "delete it, or give another cache="
        ) from None


def _fingerprint(base: Model, x: Any) -> str:
    """A digest of the base's program and weights, and of the data."""
    digest = hashlib.blake2b(digest_size=32)
    for i in base.program("predict", 1).instructions:
        params = dict(i.params)
        foreign = [v for v in params.values() if not isinstance(v, int | float | str)]
        if foreign or (i.row is not None and not i.row.native):
            raise ValueError(
                f"[extract_features] layer {i.layer!r} runs in Python, and a change of it could "
                "not be seen; leave cache out"
            )
        reads = [v and v.root.offset for v in i.inputs]
        digest.update(repr((i.op, i.pass_name, sorted(params.items()), i.specs, reads)).encode())
    for array in [*base.get_weights(), *_arrays(x)]:
        array = np.asarray(array)
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _arrays(x: Any) -> list[Any]:
    if isinstance(x, dict):
        return [part for name in sorted(x) for part in (np.array(name), x[name])]
    return list(x) if isinstance(x, list | tuple) else [x]


def _inputs(model: Model) -> list[Node]:
    model._require_shape()
    return model.inputs


def _node(model: Model, layer: Layer | Node | str | int | None) -> Node:
    """The node that is meant: the output of a layer, or what the last one with weights reads."""
    _inputs(model)
    if isinstance(layer, Node):
        if not any(layer is node for node in nodes_of(model)):
            raise ValueError(f"{layer!r} is no node of model {model.name!r}")
        return layer
    if layer is None:
        weighted = [call for call in model.calls if call.layer.parameters]
        if not weighted:
            raise ValueError(f"model {model.name!r} has no layer with weights; name a layer")
        return weighted[-1].inputs[0]
    found = layer if isinstance(layer, Layer) else model.get_layer(layer)
    calls: list[Call] = [call for call in model.calls if call.layer is found]
    if len(calls) != 1 or len(calls[0].outputs) != 1:
        nodes = [n for n in model.inputs if n.layer is found]
        if nodes:
            return nodes[0]
        what = "is no part of it" if not calls else "has several outputs; give one of its nodes"
        raise ValueError(f"model {model.name!r}: {found.title} {what}")
    return calls[0].outputs[0]
