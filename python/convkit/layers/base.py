"""The base of all layers: names, weights, and being called."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from convkit import initializers
from convkit.activations import ActivationFunction
from convkit.checks import number
from convkit.errors import did_you_mean
from convkit.layers.checks import check_shape, explained
from convkit.layers.names import snake_case, unique_name
from convkit.layers.parameter import Parameter, assign
from convkit.layers.regularized import check_regularizers, take_regularizers
from convkit.ops import registry
from convkit.ops.registry import Params, Spec
from convkit.regularizers import Regularizer
from convkit.saving.config import Configured

if TYPE_CHECKING:
    from convkit.models.explain import Explanation
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

# Keras's arguments that mean something only with a value that convkit does not support.
_UNSUPPORTED = (
    "kernel_constraint", "bias_constraint", "depthwise_constraint", "pointwise_constraint",
    "beta_constraint", "gamma_constraint", "recurrent_constraint", "embeddings_constraint",
    "lora_rank", "lora_alpha", "quantization_config",
)  # fmt: skip

_CHANGEABLE = ("built", "trainable", "lr_multiplier")  # of a built layer


class Layer(Configured):
    """Declares weights and says which instructions compute it.

    Subclasses define `compute_output_shape` and `emit`, and `build` where they have weights.
    Shapes include the batch axis, which is None.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case, numbered.
    trainable : bool
    lr_multiplier : float
        Factor of the learning rate for the layer's weights.
    dtype : str, optional
        "float32", the only one so far.
    input_shape : tuple of int, optional
        Of one sample; on the first layer of a Sequential model.
    input_dim : int, optional
        The same for one axis.
    batch_input_shape : tuple, optional
        The same with the batch axis; its size is None but in models that keep a state.
    **regularizers
        ``kernel_regularizer=`` and the like, for the layer's weights by Keras's names, and
        ``activity_regularizer=`` for its output: see `convkit.regularizers`.
    """

    expects: tuple[int, str] | None = None  # rank and legend of the input
    takes_list = False  # whether it is called on a list of nodes
    # Whether the steps of its output (N, T, ...) are those of its input, so that a mask stays
    # right. If not, `emit` says with `Builder.set_mask` what becomes of a mask, or it is refused.
    supports_masking = False
    _settable = ("name", "trainable", "lr_multiplier")
    batch_size: int | None = None  # that an input has, and a layer that keeps a state is bound to

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        lr_multiplier: float = 1.0,
        dtype: str | None = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        **unknown: Any,
    ) -> None:
        kind = type(self).__name__
        self.name = unique_name(snake_case(kind)) if name is None else str(name)
        self._regularizers = take_regularizers(unknown)
        for argument, value in unknown.items():
            if argument not in _UNSUPPORTED:
                known = did_you_mean(argument, _argument_names(type(self)))
                raise TypeError(f"layer {kind} has no argument {argument!r}{known}")
            if value is not None:
                raise ValueError(
                    f"layer {self.name!r} ({kind}): {argument} is not supported; leave it out"
                )
        if dtype not in (None, "float32"):
            raise ValueError(
                f"layer {self.name!r} ({kind}): dtype {dtype!r} is not supported, layers work in "
                "float32; leave dtype out"
            )
        self._input_batch = None if batch_input_shape is None else batch_input_shape[0]
        if batch_input_shape is not None:
            input_shape = tuple(int(n) for n in batch_input_shape[1:] if n is not None)
        elif input_dim is not None:
            input_shape = (input_dim,)
        self.input_shape = None if input_shape is None else check_shape(input_shape, "input_shape")
        self.parameters: list[Parameter] = []
        self.built = False
        self._trainable = bool(trainable)
        self._lr_multiplier = number(self.title, "lr_multiplier", lr_multiplier)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what would come too late: the model has its shapes and programs."""
        if self.__dict__.get("built") and name not in _CHANGEABLE and name[0] != "_":
            own = type(self).__module__.startswith("convkit.")
            if own and not hasattr(self, name):
                known = [key for key in (*vars(self), *_CHANGEABLE) if not key.startswith("_")]
                raise AttributeError(
                    f"{self.title} has no attribute {name!r}{did_you_mean(name, known)}"
                )
            if own or name in _argument_names(type(self)):
                way = "set values with set_weights" if self._holds(name) else "make a new layer"
                raise AttributeError(
                    f"{self.title} is built, so its {name} cannot change any more: {way}"
                )
        super().__setattr__(name, value)

    def _holds(self, name: str) -> bool:
        return isinstance(getattr(self, name, None), Parameter)

    # What subclasses define.

    def build(self, input_shape: Any) -> None:
        """Declare the weights for an input shape (a list of them where there are several)."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape, with the batch axis; a list of them where there are several."""
        raise self._undefined("compute_output_shape(input_shape)")

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        """Append the layer's instructions to a program.

        Parameters
        ----------
        builder : Builder
            Its ``emit(op, pass, inputs, params)`` appends an instruction and returns a list of
            Values; ``parameter(weight)`` is a weight of `add_weight` as a Value. Each op of ck.ops
            lists its inputs and parameters in csrc/ops/<op>/<op>.h, and needs all its parameters.
        inputs : list of Value
            Also where there is one.

        Returns
        -------
        Value, or list of Value
            The output, or one for each of `compute_output_shape`'s list.
        """
        raise self._undefined("emit(builder, inputs)")

    def check_data(self, title: str, array: NDArray[Any]) -> None:
        """Refuse values that the layer cannot take, where it is the first to read an input.

        Parameters
        ----------
        title, array : str, ndarray
            The data, of any dtype and with the batch axis, and its name in messages.

        Raises
        ------
        ValueError
        """

    @property
    def looks_at_data(self) -> bool:  # whether `check_data` does anything
        return type(self).check_data is not Layer.check_data

    def _undefined(self, method: str) -> NotImplementedError:
        call = "; call() is not used here" if hasattr(self, "call") else ""
        return NotImplementedError(
            f"{self.title} does not define {method}: a layer of one's own defines "
            "compute_output_shape and emit, which appends instructions of ck.ops, and build where "
            f"it has weights{call}"
        )

    def check_input(self, shape: Shape) -> None:
        """Refuse an input of the wrong rank, or of other channels than the weights are for.

        Raises
        ------
        ValueError
        """
        if self.expects is None or len(shape) == self.expects[0]:
            return
        rank, legend = self.expects
        hint = ""
        if rank == 4 and len(shape) == 2:
            hint = (
                "; a Flatten or Dense before it removed the image axes: "
                f"put {type(self).__name__} layers before Flatten"
            )
        elif rank == 4 and len(shape) == 3:
            hint = "; add the channel axis: grey images are (height, width, 1)"
        raise ValueError(f"{self.title} expects rank {rank} input {legend}, got {shape}{hint}")

    def _arguments(self) -> dict[str, Any]:
        """See `Configured`; values to begin with (``weights=``) are left out."""
        found = {**super()._arguments(), "name": self.name, "trainable": self.trainable}
        if self.lr_multiplier != 1:
            found["lr_multiplier"] = self.lr_multiplier
        found.pop("weights", None)
        return found

    # What they use.

    @property
    def title(self) -> str:
        """The layer in error messages: layer 'conv1' (Conv2D)."""
        return f"layer {self.name!r} ({type(self).__name__})"

    @property
    def sequence(self) -> list[Layer]:
        """The layers that this one consists of, one after the other: itself, but of a wrapper."""
        return [self]

    @property
    def inside(self) -> list[Layer]:
        """The layers that a wrapper has in it, and those in these."""
        return []

    @property
    def own_activation(self) -> ActivationFunction | None:
        """The activation at the layer's end."""
        found = getattr(self, "activation", None)  # a layer of one's own may hold anything there
        return found if isinstance(found, ActivationFunction) else None

    @property
    def differentiable(self) -> bool:
        """Whether weights of layers before this one can be trained."""
        return self.own_activation is None or self.own_activation.differentiable

    @property
    def activity_regularizer(self) -> Regularizer | None:
        """What the size of the layer's output adds to the loss."""
        return self._regularizers.get("activity")

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether training makes what a sample becomes depend on the other samples of a batch."""
        return False

    def add_weight(
        self, name: str, shape: Sequence[int], initializer: Any = "zeros", trainable: bool = True
    ) -> Parameter:
        """Declare a weight.

        Parameters
        ----------
        name : str
        shape : sequence of int
        initializer : str or Initializer
        trainable : bool

        Returns
        -------
        Parameter
        """
        parameter = Parameter(
            name, tuple(shape), initializers.get(initializer), layer=self.name, trainable=trainable
        )
        parameter.frozen = not self._trainable
        parameter.layer_multiplier = self._lr_multiplier
        parameter.regularizer = self._regularizers.get(name)
        self.parameters.append(parameter)
        return parameter

    def infer(
        self, op: str, pass_name: str, shapes: Sequence[Shape | None], params: Params
    ) -> Shape:
        """Shape of an op's first output, by the op's own rule, for a batch of any size."""
        specs = [None if s is None else Spec(tuple(n or 1 for n in s)) for s in shapes]
        rule = registry.get(op)[pass_name].infer
        assert rule is not None
        with explained(self):
            out = rule(params, specs)[0]
        assert out is not None
        return (None, *out.shape[1:])

    # Use from outside.

    def reset_states(self) -> None:
        """Forget what the layer carries from batch to batch; most layers carry nothing."""

    def __call__(self, inputs: Any, *, training: bool | None = None) -> Any:
        """Connect the layer to nodes of a functional model.

        Parameters
        ----------
        inputs : Node or list of Node
        training : bool, optional
            False: at this place the layer works as in prediction, even while `fit` trains. By
            default it follows what the model does.

        Returns
        -------
        Node, or list of Node
            A list of a layer of several outputs.

        Raises
        ------
        ValueError
            If the inputs do not fit, or for ``training=True``.
        """
        if training:
            raise ValueError(
                f"{self.title}: training=True is not supported, as what trains is fit; leave "
                "training out, or give training=False to keep the layer as it is in prediction"
            )
        from convkit.models.graph import Call, Node  # models import layers

        nodes = tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)
        for node in nodes:
            if not isinstance(node, Node):
                raise TypeError(
                    f"{self.title} is called on nodes such as Input((28, 28, 1)), got "
                    f"{type(node).__name__}; to compute on arrays make a model and call "
                    "model.predict(x)"
                )
        shapes = [node.shape for node in nodes]
        shape = self.connect(shapes if isinstance(inputs, list | tuple) else shapes[0])
        several = isinstance(shape, list)
        call = Call(self, nodes, shape if several else [shape], inference=training is not None)
        return list(call.outputs) if several else call.outputs[0]

    def connect(self, shape: Any) -> Any:
        """Check an input shape, declare the weights if need be, and return the output's shape."""
        if isinstance(shape, list):
            if len(shape) == 1 and not self.takes_list:
                return self.connect(shape[0])
            if not self.takes_list:
                raise ValueError(f"{self.title} takes one input, got {len(shape)}")
        else:
            self.check_input(shape)
        # The weights are declared only if the output's shape is a legal one.
        built = self.built
        try:
            if not built:
                self.build(shape)
                self.built = True
                check_regularizers(self)
            return self.compute_output_shape(shape)
        except Exception:
            if not built:
                self.disconnect()
            raise

    def disconnect(self) -> None:
        """Forget the weights of a connection that failed."""
        self.parameters.clear()
        self.built = False

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer's weights; a change counts from the next epoch on."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for parameter in self.parameters:
            parameter.frozen = not self._trainable

    @property
    def lr_multiplier(self) -> float:
        """Factor of the learning rate for the layer's weights; it may be set at any time.

        At 0 the weights and the optimizer's state of them stay as they are. A parameter has a
        factor of its own besides: ``layer.bias.lr_multiplier = 2``, as in Caffe's networks.
        """
        return self._lr_multiplier

    @lr_multiplier.setter
    def lr_multiplier(self, value: float) -> None:
        self._lr_multiplier = number(self.title, "lr_multiplier", value)
        for parameter in self.parameters:
            parameter.layer_multiplier = self._lr_multiplier

    @property
    def weights(self) -> list[Parameter]:
        return list(self.parameters)

    @property
    def trainable_weights(self) -> list[Parameter]:
        return [p for p in self.parameters if p.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        return [p for p in self.parameters if not p.trainable]

    def get_weights(self) -> list[NDArray[Any]]:
        """Return copies of the weights, in order of declaration: kernel, bias."""
        return [p.numpy() for p in self.parameters]

    def set_weights(self, weights: Sequence[ArrayLike]) -> None:
        """Set the weights, in the order of `get_weights`.

        Raises
        ------
        ValueError
            If their number or a shape differs; nothing is changed then.
        """
        assign(self.title, self.parameters, weights)

    def count_params(self) -> int:
        """Return the number of weight values."""
        return sum(p.size for p in self.parameters)

    def explain(self, batch_size: int | None = None, mode: str | None = None) -> Explanation:
        """Say which kernels run the layer in its model, which could, and why; print the result.

        Parameters
        ----------
        batch_size, mode
            As in `Model.explain`.

        Returns
        -------
        Explanation

        Raises
        ------
        ValueError
            If the layer is not part of a model.
        """
        from convkit.models.explain import explain_layer

        return explain_layer(self, batch_size, mode)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def _argument_names(kind: type[Layer]) -> list[str]:
    """Names of the arguments of a layer and of its bases."""
    return [
        p.name
        for base in kind.__mro__
        if issubclass(base, Layer) and "__init__" in vars(base)
        for p in list(inspect.signature(base.__init__).parameters.values())[1:]
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
