"""Models: a graph of layers with its weights in one store."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from convkit.errors import did_you_mean
from convkit.layers.base import Layer
from convkit.layers.names import snake_case, unique_name
from convkit.layers.parameter import Parameter, assign
from convkit.models import graph
from convkit.models.copies import restore, state_of
from convkit.models.explain import set_model
from convkit.models.graph import Call, Node, Shape
from convkit.models.trainer import Trainer
from convkit.random import current_seed, generator

if TYPE_CHECKING:
    from convkit.run.profile import Profile
    from convkit.run.store import Store

__all__ = ["Model"]


class Model(Trainer):
    """Layers between inputs and outputs, to be compiled, trained and asked.

    Parameters
    ----------
    inputs, outputs : Node or list of Node
        From `Input` and from calling layers.
    name : str, optional

    Attributes
    ----------
    inputs, outputs : list of Node
    calls : list of Call
        The uses of layers, each after those that it reads.

    Examples
    --------
    >>> import convkit as ck
    >>> x = ck.Input((8,))
    >>> h = ck.layers.Dense(8, "relu")(x)
    >>> model = ck.Model(x, ck.layers.add([x, h]))
    >>> model.output_shape
    (None, 8)
    """

    inputs: list[Node]
    outputs: list[Node]
    calls: list[Call]

    def __init__(self, inputs: Any = None, outputs: Any = None, name: str | None = None) -> None:
        if inputs is None or outputs is None:
            raise TypeError(
                "a model is Model(inputs, outputs) with nodes from Input and layers, or "
                "Sequential([...]); models that define call() are not supported"
            )
        self._begin(name)
        self._set_graph(_nodes("inputs", inputs), _nodes("outputs", outputs))

    def _begin(self, name: str | None) -> None:
        super().__init__()
        kind = "functional" if type(self) is Model else snake_case(type(self).__name__)
        self.name = unique_name(kind) if name is None else str(name)
        self._store: Store | None = None
        self._offsets: list[int] = []
        self._parameters: list[Parameter] = []
        self._layers: list[Layer] = []

    def _set_graph(self, inputs: list[Node], outputs: list[Node]) -> None:
        for node in inputs:
            if node.inputs:
                raise ValueError(
                    f"inputs of a model come from Input(...), got the output of {node.layer.title}"
                )
        self.inputs, self.outputs = inputs, outputs
        self.calls = graph.sort(inputs, outputs)
        members = dict.fromkeys([n.layer for n in inputs] + [c.layer for c in self.calls])
        self._layers = list(members)
        for name, count in Counter(layer.name for layer in self._layers).items():
            if count > 1:
                raise ValueError(
                    f"model {self.name!r} has {count} layers named {name!r}; names must differ"
                )
        # A parameter may be part of several layers.
        found = dict.fromkeys(p for layer in self._layers for p in layer.parameters)
        self._parameters = list(found)
        for path, count in Counter(p.path for p in self._parameters).items():
            if count > 1:
                raise ValueError(
                    f"model {self.name!r} has {count} weights {path!r}; give the layers inside of "
                    "other layers names that differ"
                )
        for p in self._parameters:
            if p.store is None:
                p.build = self.build
        self._store = None
        set_model(self, members)
        self._forget_programs()

    # Weights.

    @property
    def built(self) -> bool:
        """Whether the weights are allocated."""
        return self._store is not None

    def build(self) -> None:
        """Allocate the weights and initialise those that have no values yet.

        Layers may be part of several models. The model that was used last holds their values; they
        move to its store here.
        """
        members, store = self._parameters, self._store
        if store is not None:
            for p in members:
                if p.store is not store:
                    break
            else:
                return
        from convkit.program.memory import require_weights
        from convkit.run.store import Store

        values = [None if p.store is None else p.numpy() for p in members]
        if self._store is None:
            require_weights(self.name, members)
            self._store = Store(members)
            self._offsets = [p.offset for p in members]
        seed = current_seed()
        for i, p in enumerate(members):
            p.store, p.offset = self._store, self._offsets[i]
            value = values[i]
            p.assign(p.initial(generator(seed, i)) if value is None else value)

    @property
    def store(self) -> Store:
        """The flat buffers of parameters, gradients and optimiser state."""
        self.build()
        assert self._store is not None
        return self._store

    @property
    def parameters(self) -> list[Parameter]:
        """The weights in layer order; those of a layer that is used twice, once."""
        return list(self._parameters)

    @property
    def weights(self) -> list[Parameter]:
        return self.parameters

    @property
    def trainable_weights(self) -> list[Parameter]:
        return [p for p in self._parameters if p.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        return [p for p in self._parameters if not p.trainable]

    @property
    def trainable(self) -> bool:
        """Whether any layer is trainable; setting it sets all layers."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
            layer.trainable = value

    def get_weights(self) -> list[NDArray[Any]]:
        """Return copies of all weights, in Keras's order: layer by layer, kernel before bias."""
        self.build()
        return [p.numpy() for p in self._parameters]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set all weights, in the order of `get_weights`.

        Raises
        ------
        ValueError
            If their number or a shape differs; the message names the layer, and nothing is changed.
        """
        self.build()
        assign(f"model {self.name!r}", self._parameters, weights)

    # Files.

    def save(
        self,
        filepath: str | os.PathLike[str],
        include_optimizer: bool = True,
        overwrite: bool = True,
    ) -> Path:
        """Write layers, weights and what `compile` was given to a file, whole or not at all.

        Parameters
        ----------
        filepath : path
            ".convkit" is appended if it has no suffix.
        include_optimizer : bool
            Whether the file has what `compile` was given and the optimizer's state, so that
            training goes on from it to the same bits.
        overwrite : bool
            Whether an old file is replaced.

        Returns
        -------
        Path
            Of the file, for `convkit.load_model`.

        Raises
        ------
        OSError
            If the file cannot be written; an old one is kept.
        TypeError
            If a part of the model cannot be saved, such as a function without a name.
        """
        from convkit.saving.model import save_model

        return save_model(self, filepath, include_optimizer, overwrite)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> Path:
        """Write the weights to a file (.npz or .safetensors), whole or not at all.

        States that layers carry from batch to batch (``stateful=True``) are left out. Returns the
        file's path.
        """
        from convkit.saving.weights import save_weights

        return save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Read the weights from a file of `save_weights` or `save`, given the same path.

        They are found by name or, where the names differ, in order, if their number, the names in
        the layers (kernel, bias) and the shapes agree one by one.

        Raises
        ------
        ValueError
            If the file is no weights file, or one for another model; nothing is changed then.
        """
        from convkit.saving.weights import load_weights

        load_weights(self, filepath)

    # Copies, by pickle and copy.deepcopy: layers and weights, and what compile and training left.

    def __copy__(self) -> Model:
        raise TypeError(
            f"copy.copy of model {self.name!r} would share its weights; use copy.deepcopy(model)"
        )

    def __getstate__(self) -> dict[str, Any]:
        return state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    def _restore_chain(self, nodes: list[Node]) -> None:
        """What a Sequential keeps besides."""

    def count_params(self) -> int:
        """Return the number of weight values.

        Raises
        ------
        ValueError
            If the model does not know its input's shape yet.
        """
        self._require_shape()
        return sum(p.size for p in self._parameters)

    # Layers.

    @property
    def layers(self) -> list[Layer]:
        """The layers, beginning with those of the inputs."""
        return list(self._layers)

    def get_layer(self, name: str | int | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its index.

        Raises
        ------
        ValueError
            If there is none; the message suggests the nearest name.
        """
        if isinstance(name, int):
            name, index = None, name
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError("get_layer takes a name or an index, one of them")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"model {self.name!r} has {len(layers)} layers, there is none of index {index}"
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        known = did_you_mean(name, [layer.name for layer in layers])
        raise ValueError(
            f"model {self.name!r} has no layer {name!r}{known} (models inside of a model are "
            "flattened: their layers are found by their own names)"
        )

    @property
    def input_shape(self) -> Shape:
        """Shape of the first input, with the batch axis."""
        self._require_shape()
        return self.inputs[0].shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the first output, with the batch axis."""
        self._require_shape()
        return (self.outputs or self.inputs)[0].shape

    @property
    def input(self) -> Node:
        """The first input, to make another model from."""
        self._require_shape()
        return self.inputs[0]

    @property
    def output(self) -> Node:
        """The first output, to make another model from."""
        self._require_shape()
        return (self.outputs or self.inputs)[0]

    def _require_shape(self) -> None:
        if not self.inputs:
            raise ValueError(
                f"model {self.name!r} does not know its input's shape yet: begin it with "
                "Input((28, 28, 1)), give the first layer input_shape=(28, 28, 1), or call "
                "model.build((None, 28, 28, 1))"
            )

    # Use.

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Predict for arrays, or use the model as a part of another one.

        Parameters
        ----------
        inputs : array_like, Node, or a list of them
        training : bool, optional
            False, on nodes: the layers work as in prediction in the other model too, even while
            `fit` trains it and their weights: BatchNormalization normalises by its moving averages
            and leaves them as they are, Dropout passes everything on. By default they follow what
            the other model does. True is refused, as what trains is `fit`.

        Returns
        -------
        ndarray or Node
        """
        given = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if training:
            raise ValueError(
                f"model {self.name!r}: training=True is not supported, as what trains is fit; "
                "leave it out"
            )
        if not any(isinstance(node, Node) for node in given):
            return self.predict(inputs, verbose=0)
        self._require_shape()
        if len(given) != len(self.inputs):
            raise ValueError(f"model {self.name!r} has {len(self.inputs)} inputs, got {len(given)}")
        made: dict[int, Node] = {}
        for own, node in zip(self.inputs, given, strict=True):
            if own.shape != node.shape:
                raise ValueError(f"model {self.name!r} expects {own.shape}, got {node.shape}")
            made[id(own)] = node
        for call in self.calls:
            inference = training is not None or call.inference
            results = graph.apply(call.layer, [made[id(n)] for n in call.inputs], inference)
            made.update((id(n), r) for n, r in zip(call.outputs, results, strict=True))
        outputs = [made[id(node)] for node in self.outputs or self.inputs]
        return outputs[0] if len(outputs) == 1 else outputs

    def reset_states(self) -> None:
        """Forget the states that layers of ``stateful=True`` carry from batch to batch."""
        for layer in self.layers:
            layer.reset_states()

    def summary(
        self, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None
    ) -> None:
        """Print a table of the layers, their output shapes, weights and work.

        Parameters
        ----------
        line_length : int, optional
            Least width of the table; by default what it needs.
        print_fn : callable, optional
            Called with each line, in place of `print`.
        """
        from convkit.models.summary import print_summary

        print_summary(self, line_length, print_fn)

    def profile(self, x: ArrayLike, y: ArrayLike, repeats: int = 20) -> Profile:
        """Time each instruction of a training step; print the result to read it.

        Parameters
        ----------
        x, y : array_like
            One batch, for a model with one input.
        repeats : int

        Returns
        -------
        Profile
        """
        from convkit.testing.profile import profile

        return profile(self, x, y, repeats=repeats)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {len(self.layers)} layers>"


def _nodes(argument: str, given: Any) -> list[Node]:
    nodes = list(given) if isinstance(given, list | tuple) else [given]
    for node in nodes:
        if not isinstance(node, Node):
            raise TypeError(
                f"{argument} of a model are nodes, from Input(...) and from calling layers, got "
                f"{type(node).__name__}"
            )
    if not nodes:
        raise ValueError(f"a model needs at least one of {argument}")
    return nodes
