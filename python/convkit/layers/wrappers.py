"""Layers around other layers: both directions of time, and each of its steps."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from convkit.checks import number
from convkit.errors import did_you_mean
from convkit.initializers import Constant
from convkit.layers.base import Layer
from convkit.layers.normalization import check_unmasked
from convkit.layers.parameter import check_weights
from convkit.layers.recurrent_base import Recurrent, with_states
from convkit.ops.pool2d import pool2d_params

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Bidirectional", "TimeDistributed"]

MODES = ("concat", "sum", "ave", None)


class _Wrapper(Layer):
    """A layer around others, which are frozen with it and connected with it."""

    @property
    def inner(self) -> list[Layer]:
        """The layers in it."""
        raise NotImplementedError

    @property
    def trainable(self) -> bool:
        """Whether training changes weights of the layers in it; a change goes on to them."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self.inner:
            layer.trainable = value

    @property
    def lr_multiplier(self) -> float:
        """Factor of the learning rate for the layers in it; a change goes on to them."""
        return self._lr_multiplier

    @lr_multiplier.setter
    def lr_multiplier(self, value: float) -> None:
        self._lr_multiplier = number(self.title, "lr_multiplier", value)
        for layer in self.inner:
            layer.lr_multiplier = value

    def _hand_on(self) -> None:
        """Give the layers in it what the wrapper was made with."""
        if not self.trainable:
            self.trainable = False
        if self.lr_multiplier != 1:
            self.lr_multiplier = self._lr_multiplier

    @property
    def differentiable(self) -> bool:
        return all(layer.differentiable for layer in self.inner)

    @property
    def uses_batch_statistics(self) -> bool:
        return any(layer.uses_batch_statistics for layer in self.inner)

    def connect(self, shape: Any) -> Any:
        for layer in self.inside:
            if layer.activity_regularizer is not None:
                raise ValueError(
                    f"{self.title}: activity_regularizer of {layer.title} in it is not supported; "
                    f"give it to the {type(self).__name__}"
                )
        fresh = [layer for layer in self.inside if not layer.built]
        try:
            return super().connect(shape)
        except Exception:
            if not self.built:
                for layer in fresh:
                    layer.disconnect()
            raise

    @property
    def inside(self) -> list[Layer]:
        return [part for layer in self.inner for part in (layer, *layer.inside)]


class Bidirectional(_Wrapper):
    """A recurrent layer over both directions of time (Schuster and Paliwal 1997).

    Parameters
    ----------
    layer : SimpleRNN, LSTM or GRU
        The one that goes forwards, not used before. The other one is like it, with weights of its
        own. Sequences come out in the order of time.
    merge_mode : str or None
        "concat", "sum" or "ave" (mean) of the two outputs, or None for both of them.
    weights : sequence of array_like, optional
        Of both layers, to begin with.
    backward_layer : SimpleRNN, LSTM or GRU, optional
        The one that goes backwards, if it is not to be like the first.
    **kwargs
        Common arguments of `Layer`.
    """

    takes_list = True

    def __init__(
        self,
        layer: Recurrent,
        merge_mode: str | None = "concat",
        weights: Any = None,
        backward_layer: Recurrent | None = None,
        **kwargs: Any,
    ) -> None:
        for given in (layer, backward_layer or layer):
            if not isinstance(given, Recurrent):
                raise TypeError(
                    "Bidirectional takes a recurrent layer such as LSTM(64), got "
                    f"{type(given).__name__}"
                )
            if given.built:
                raise ValueError(f"Bidirectional: {given.title} is in use already; make a new one")
        if layer.input_shape is not None:
            kwargs.setdefault("batch_input_shape", (layer._input_batch, *layer.input_shape))
        super().__init__(**kwargs)
        if merge_mode not in MODES:
            known = did_you_mean(str(merge_mode), [mode for mode in MODES if mode])
            raise ValueError(
                f"{self.title}: merge_mode={merge_mode!r} is not supported, use 'concat', 'sum', "
                f"'ave' or None{known}"
            )
        self.merge_mode = merge_mode
        self.forward_layer = copy.deepcopy(layer)
        self.backward_layer = copy.deepcopy(backward_layer or layer)
        if backward_layer is None:
            self.backward_layer.go_backwards = not layer.go_backwards
        self._check_pair()
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        for each, way in zip(self._both, ("forward", "backward")):
            each.name = f"{self.name}.{way}"
            each._in_time = True
        self._initial_weights = weights
        self._hand_on()

    @property
    def inner(self) -> list[Layer]:
        return list(self._both)

    @property
    def _both(self) -> tuple[Recurrent, Recurrent]:
        return self.forward_layer, self.backward_layer

    def _check_pair(self) -> None:
        first, second = self._both
        if first.go_backwards == second.go_backwards:
            raise ValueError(
                f"{self.title}: layer and backward_layer go the same way; give backward_layer "
                f"go_backwards={not first.go_backwards}"
            )
        for name in ("return_sequences", "return_state", "stateful"):
            if getattr(first, name) != getattr(second, name):
                raise ValueError(f"{self.title}: layer and backward_layer differ in {name}")

    def _parts(self, given: list[Any]) -> list[list[Any]]:
        """The sequences with the forward layer's initial states, and with the backward layer's."""
        x, states = given[0], given[1:]
        half = len(self.forward_layer.states) if states else 0
        if states and len(states) != half + len(self.backward_layer.states):
            raise ValueError(
                f"{self.title} has {half + len(self.backward_layer.states)} states, initial_state "
                f"has {len(states)}"
            )
        return [[x, *states[:half]], [x, *states[half:]]]

    def build(self, input_shape: Any) -> None:
        given = input_shape if isinstance(input_shape, list) else [input_shape]
        for layer, part in zip(self._both, self._parts(given)):
            layer.connect(part)
            self.parameters += layer.parameters
        if self._initial_weights is not None:
            for p, values in check_weights(self.title, self.parameters, self._initial_weights):
                p.initializer = Constant(values)

    def compute_output_shape(self, input_shape: Any) -> Any:
        given = input_shape if isinstance(input_shape, list) else [input_shape]
        outputs = []
        for layer, part in zip(self._both, self._parts(given)):
            shape = layer.connect(part)
            outputs.append(shape if isinstance(shape, list) else [shape])
        (first, *states), (second, *more) = outputs
        if self.merge_mode is None:
            return [first, second, *states, *more]
        if self.merge_mode != "concat" and first != second:
            raise ValueError(
                f"{self.title}: merge_mode={self.merge_mode!r} needs outputs of one shape, got "
                f"{first} and {second}"
            )
        wide = (first[-1] or 0) + (second[-1] or 0) if self.merge_mode == "concat" else first[-1]
        merged = (*first[:-1], wide)
        return [merged, *states, *more] if self.return_state else merged

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        outputs = []
        for layer, part in zip(self._both, self._parts(inputs)):
            emitted = layer.emit(builder, part)
            outputs.append(emitted if isinstance(emitted, list) else [emitted])
        (first, *states), (second, *more) = outputs
        if self.merge_mode is None:
            return [first, second, *states, *more]
        merged = self._merge(builder, first, second)
        mask = builder.mask(first)
        if mask is not None:
            builder.set_mask(merged, mask)
        return [merged, *states, *more] if self.return_state else merged

    def _merge(self, builder: Builder, a: Value, b: Value) -> Value:
        shape = a.spec.shape
        if self.merge_mode == "concat":
            (y,) = builder.emit("concatenate", "forward", [a, b], {"axis": len(shape) - 1})
        elif self.merge_mode == "sum":
            (y,) = builder.emit("add", "forward", [a, b])
        else:  # the average over a window that holds the two
            rows, units = a.spec.size // shape[-1], shape[-1]
            sides = [builder.view(v, (rows, 1, 1, units)) for v in (a, b)]
            (pair,) = builder.emit("concatenate", "forward", sides, {"axis": 1})
            params = pool2d_params((rows, 2, 1, units), "global")
            (mean,) = builder.emit("pool2d", "average_forward", [pair], params)
            assert mean is not None
            y = builder.view(mean, shape)
        assert y is not None
        return y

    def __call__(
        self,
        inputs: Any,
        initial_state: Any = None,
        mask: Any = None,
        *,
        training: bool | None = None,
    ) -> Any:
        """Connect the layer to nodes of a functional model; see `Recurrent`.

        Parameters
        ----------
        inputs : Node or list of Node
        initial_state : list of Node, optional
            The states of the layer that goes forwards, then of the other.
        mask : Node, optional
        training : bool, optional
        """
        nodes = with_states(inputs, initial_state, mask)
        for layer in self._both:
            layer.bind(nodes)
        if not self.built:
            self.batch_size = self.forward_layer.batch_size
        return super().__call__(nodes if len(nodes) > 1 else nodes[0], training=training)

    def reset_states(self, states: Sequence[ArrayLike] | None = None) -> None:
        """Set the states that the layers carry; nothing without stateful=True.

        Parameters
        ----------
        states : sequence of array_like, optional
            Those of the layer that goes forwards, then of the other, as for
            `Recurrent.reset_states`; by default zeros.

        Raises
        ------
        ValueError
            If their number or a shape differs.
        """
        first, second = (len(layer._carried) for layer in self._both)
        if states is not None and len(states) != first + second:
            raise ValueError(
                f"{self.title} carries {first + second} states, {first} forwards and {second} "
                f"backwards, got {len(states)}"
            )
        for layer, part in zip(self._both, (slice(first), slice(first, None))):
            layer.reset_states(None if states is None else states[part])

    reset_state = reset_states


class TimeDistributed(_Wrapper):
    """A layer, or a Sequential model, at each step of a sequence, with the same weights.

    Parameters
    ----------
    layer : Layer, Sequential or sequence of Layer
        What it does with (N, ...) is done with (N, T, ...).
    **kwargs
        Common arguments of `Layer`.
    """

    supports_masking = True

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        from convkit.models.sequential import Sequential  # models import layers

        super().__init__(**kwargs)
        chain = layer.layers if isinstance(layer, Sequential) else layer
        if not isinstance(chain, list | tuple):
            chain = [chain]
        for member in chain:
            if not isinstance(member, Layer):
                raise TypeError(
                    f"{self.title} takes a layer or a Sequential model, got {type(member).__name__}"
                )
            if getattr(member, "stateful", False):
                raise ValueError(f"{self.title}: {member.title} cannot be stateful in it")
        if not chain:
            raise ValueError(f"{self.title}: the model in it has no layers")
        self.chain: list[Layer] = list(chain)
        self._hand_on()

    def _arguments(self) -> dict[str, Any]:
        layer = self.chain[0] if len(self.chain) == 1 else self.chain
        return {**super()._arguments(), "layer": layer}

    @property
    def inner(self) -> list[Layer]:
        return self.chain

    @property
    def sequence(self) -> list[Layer]:
        return [part for member in self.chain for part in member.sequence]

    def check_input(self, shape: Shape) -> None:
        if len(shape) < 3:
            raise ValueError(f"{self.title} expects sequences (N, T, ...), got {shape}")

    def check_data(self, title: str, array: NDArray[Any]) -> None:
        self.chain[0].check_data(title, array)

    def build(self, input_shape: Any) -> None:
        self._connect(input_shape)
        found = dict.fromkeys(p for member in self.chain for p in member.parameters)
        self.parameters = list(found)

    def _connect(self, input_shape: Any) -> Any:
        """The shape of a step's output."""
        shape = (None, *input_shape[2:])
        for member in self.chain:
            shape = member.connect(shape)
            if isinstance(shape, list):
                raise ValueError(f"{self.title}: {member.title} has {len(shape)} outputs, not one")
        return shape

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (None, input_shape[1], *self._connect(input_shape)[1:])

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        if builder.mask(inputs[0]) is not None:
            for member in self.chain:
                check_unmasked(builder, member)
        n, t, *step = inputs[0].spec.shape
        value = builder.view(inputs[0], (n * t, *step))
        for member in self.chain:
            value = member.emit(builder, [value])
        return builder.view(value, (n, t, *value.spec.shape[1:]))
