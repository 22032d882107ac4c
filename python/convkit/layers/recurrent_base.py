"""What the recurrent layers have in common: arguments, weights, states and instructions."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import initializers
from convkit.initializers import Initializer
from convkit.layers.base import Layer
from convkit.layers.checks import positive
from convkit.layers.sequences import AttachMask
from convkit.ops.activation import activation_params
from convkit.ops.mask import mask_params
from convkit.ops.rnn import rnn_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Node, Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Recurrent", "with_states"]

# Keras's switches that mean something only with a value that is not supported, and why.
_SWITCHES = {
    "unroll": "the kernel runs all steps in one call in any case",
    "zero_output_for_mask": "a step that is left out repeats the output before",
    "time_major": "sequences are (N, T, C)",
    "use_cudnn": "kernels are chosen by themselves",
}


class Recurrent(Layer):
    """Base of the recurrent layers, with the arguments that all of them take.

    Parameters
    ----------
    units : int
        Size of the state, and of the output of a step.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    dropout, recurrent_dropout : float
        Only 0.
    seed : int, optional
        Of the dropout, so that it is of no account.
    return_sequences : bool
        Whether the output is that of every step, (N, T, units), or of the last one, (N, units).
    return_state : bool
        Whether the layer has its state after the last step as further outputs.
    go_backwards : bool
        Whether steps are taken from the last to the first; sequences come out in that order.
    stateful : bool
        Whether a batch begins with the state in which the one before ended. The model's input then
        has a ``batch_size``, and `reset_states` goes back to zeros. There is one state: threads
        that predict with the model take turns, batch by batch, and each goes on where the one
        before it ended. The state is a weight, not trained, ``state_h`` of shape (batch_size,
        units) for example, so `get_weights` of a layer without one does not fit: copy
        `trainable_weights` one by one, by name, as in `convkit.models.char_rnn`.
    truncate : int, optional
        Train by truncated backpropagation through time: gradients do not flow from step k to step
        k - 1, 2 k to 2 k - 1 and so on, counted from 0. By default they flow through all steps.
    recurrent_bias : bool
        Whether the product with the state has a bias of its own, as in PyTorch and cuDNN. The bias
        is then (2, ...): the input's and the state's.
    **kwargs
        Common arguments of `Layer`. Constraints may be None only, and switches
        such as Keras's ``unroll`` their default only.
    """

    takes_list = True
    cell = ""
    gates = 1
    states: tuple[str, ...] = ("h",)

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        truncate: int | None = None,
        recurrent_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        switches = {name: kwargs.pop(name) for name in _SWITCHES if name in kwargs}
        super().__init__(**kwargs)
        self.units = positive(self, "units", units)
        for name, value in switches.items():
            if value not in (False, None, "auto"):
                raise ValueError(
                    f"{self.title}: {name}={value!r} is not supported: {_SWITCHES[name]}; leave it "
                    "out"
                )
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if rate != 0:
                raise ValueError(
                    f"{self.title}: {name}={rate!r} is not supported; put layers.Dropout({rate!r}) "
                    "before or after the layer"
                )
        if recurrent_bias and not use_bias:
            raise ValueError(f"{self.title}: recurrent_bias=True needs use_bias=True")
        self.use_bias = bool(use_bias)
        self.recurrent_bias = bool(recurrent_bias)
        self.kernel_initializer = kernel_initializer
        self.recurrent_initializer = recurrent_initializer
        self.bias_initializer = bias_initializer
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.go_backwards = bool(go_backwards)
        self.stateful = bool(stateful)
        self.truncate = None if truncate is None else positive(self, "truncate", truncate)
        self.kernel: Parameter | None = None
        self.recurrent_kernel: Parameter | None = None
        self.bias: Parameter | None = None
        self._carried: list[Parameter] = []  # the states, where the layer keeps them
        self._in_time = False  # whether sequences come out in the order of time in any case

    # What the cells say.

    def _options(self) -> dict[str, Any]:
        """Parameters of the op that only this cell has."""
        return {}

    def _params(self) -> dict[str, int | float | str]:
        return rnn_params(
            go_backwards=self.go_backwards,
            processing_order=self.go_backwards and not self._in_time,
            truncate=self.truncate or 0,
            **self._options(),
        )

    def _bias(self) -> Initializer:
        return initializers.get(self.bias_initializer)

    # Shapes and weights.

    def _split(self, input_shape: Any) -> tuple[Shape, list[Shape]]:
        """The shapes of the sequences and of the initial states, checked."""
        given = input_shape if isinstance(input_shape, list) else [input_shape]
        x, states = given[0], given[1:]
        if len(x) != 3:
            hint = ""
            if len(x) == 2:
                hint = "; numbers of things go through an Embedding or a CategoryEncoding first, "
                hint += "and Reshape((-1, 1)) makes values a sequence"
            elif len(x) == 4:
                hint = f"; Reshape(({x[1]}, {(x[2] or 1) * (x[3] or 1)})) makes rows steps"
            raise ValueError(f"{self.title} expects sequences (N, T, C), got {x}{hint}")
        if self.built and self.kernel is not None and x[2] != self.kernel.shape[0]:
            raise ValueError(
                f"{self.title} has weights for {self.kernel.shape[0]} features, got {x[2]} "
                f"(input {x})"
            )
        expected = ", ".join(self.states)
        if states and len(states) != len(self.states):
            raise ValueError(
                f"{self.title} has {len(self.states)} states ({expected}), initial_state has "
                f"{len(states)}"
            )
        for name, shape in zip(self.states, states):
            if shape != (None, self.units):
                raise ValueError(
                    f"{self.title}: initial_state {name} has shape {shape}, expected "
                    f"{(None, self.units)}"
                )
        if states and self.stateful:
            raise ValueError(
                f"{self.title} keeps its state (stateful=True) and takes no initial_state; set it "
                "with reset_states([...])"
            )
        return x, states

    def build(self, input_shape: Any) -> None:
        x, _ = self._split(input_shape)
        wide = self.gates * self.units
        self.kernel = self.add_weight("kernel", (x[2] or 0, wide), self.kernel_initializer)
        self.recurrent_kernel = self.add_weight(
            "recurrent_kernel", (self.units, wide), self.recurrent_initializer
        )
        if self.use_bias:
            shape = (2, wide) if self.recurrent_bias else (wide,)
            self.bias = self.add_weight("bias", shape, self._bias())
        if self.stateful:
            self._declare_states()

    def _declare_states(self) -> None:
        if self.batch_size is None:
            raise ValueError(
                f"{self.title}: stateful=True needs a fixed batch size: begin the model with "
                "Input(shape, batch_size=32), or give the first layer batch_input_shape=(32, T, C)"
            )
        self._carried = [
            self.add_weight(f"state_{name}", (self.batch_size, self.units), trainable=False)
            for name in self.states
        ]

    def keeping_state(self, batch_size: int) -> Recurrent:
        """A layer of the same weights, not copies of them, with ``stateful=True``.

        Parameters
        ----------
        batch_size : int
        """
        twin = copy.copy(self)
        twin.built = False  # what follows may change it
        twin.stateful, twin.batch_size = True, batch_size
        twin.parameters = [p for p in self.parameters if p not in self._carried]
        twin._declare_states()
        twin.built = True
        return twin

    def compute_output_shape(self, input_shape: Any) -> Any:
        x, _ = self._split(input_shape)
        assert self.kernel is not None and self.recurrent_kernel is not None
        weights = [
            None if p is None else p.shape for p in (self.kernel, self.recurrent_kernel, self.bias)
        ]
        nothing = [None] * (len(self.states) + 1)
        operands = [x, *weights, *nothing]
        sequences = self.infer("rnn", f"{self.cell}_forward", operands, self._params())
        state = (None, self.units)
        y = sequences if self.return_sequences else state
        return [y, *(state for _ in self.states)] if self.return_state else y

    # Instructions.

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        x, states = inputs[0], list(inputs[1:])
        if self.stateful and x.spec.shape[0] != self.batch_size:
            raise ValueError(
                f"{self.title} keeps a state for batches of {self.batch_size} sequences, got a "
                f"batch of {x.spec.shape[0]}"
            )
        carried = [builder.parameter(p) for p in self._carried]
        initial: list[Value | None] = list(states or carried) or [None] * len(self.states)
        weights = [
            None if p is None else builder.parameter(p)
            for p in (self.kernel, self.recurrent_kernel, self.bias)
        ]
        mask = builder.mask(x)
        operands = [x, *weights, *initial, mask]
        outputs = builder.emit("rnn", f"{self.cell}_forward", operands, self._params())
        y, finals = outputs[0], outputs[1 : 1 + len(self.states)]
        assert y is not None
        for state, final in zip(carried, finals):
            builder.after_step("activation", "forward", [final], activation_params(), out=[state])
        if self.return_sequences and mask is not None:
            if self.go_backwards and not self._in_time:
                (mask,) = builder.emit("mask", "reverse", [mask], mask_params(), prefix="mask")
                assert mask is not None
            builder.set_mask(y, mask)
        first = y if self.return_sequences else finals[0]
        return [first, *finals] if self.return_state else first

    # Use from outside.

    def __call__(
        self,
        inputs: Any,
        initial_state: Any = None,
        mask: Any = None,
        *,
        training: bool | None = None,
    ) -> Any:
        """Connect the layer to nodes of a functional model.

        Parameters
        ----------
        inputs : Node or list of Node
            Sequences, or sequences and initial states.
        initial_state : Node or list of Node, optional
            The states to begin with, each (N, units); by default zeros.
        mask : Node, optional
            Numbers (N, T), 0 where a step is to be left out; by default what Masking or Embedding
            said before.
        training : bool, optional
            See `Layer`.

        Returns
        -------
        Node, or list of Node
        """
        nodes = with_states(inputs, initial_state, mask)
        self.bind(nodes)
        return super().__call__(nodes if len(nodes) > 1 else nodes[0], training=training)

    def bind(self, nodes: Sequence[Any]) -> None:
        """Learn from the inputs behind these nodes the batch size that a state is for."""
        from convkit.models import graph  # models import layers

        if self.stateful and not self.built:
            found = [node for node in nodes if isinstance(node, graph.Node)]
            self.batch_size = graph.batch_size(found)

    def reset_states(self, states: Sequence[ArrayLike] | None = None) -> None:
        """Set the state that the layer carries from batch to batch; nothing without stateful=True.

        Parameters
        ----------
        states : sequence of array_like, optional
            One of shape (batch_size, units) for each state; by default zeros.

        Raises
        ------
        ValueError
            If their number or a shape differs.
        """
        if states is not None and len(states) != len(self._carried):
            raise ValueError(f"{self.title} carries {len(self._carried)} states, got {len(states)}")
        for i, parameter in enumerate(self._carried):
            value: Any = np.zeros(parameter.shape) if states is None else states[i]
            parameter.assign(value)

    reset_state = reset_states


def with_states(inputs: Any, initial_state: Any, mask: Any) -> list[Node]:
    """The nodes of a call: sequences, with the mask that goes with them, then states."""
    nodes = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if mask is not None:
        nodes[0] = AttachMask()([nodes[0], mask])
    if initial_state is not None:
        several = isinstance(initial_state, list | tuple)
        nodes += initial_state if several else [initial_state]
    return nodes
