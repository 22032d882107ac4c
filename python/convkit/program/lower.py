"""Lower: layers to instructions. Shapes are checked here, with the layer's name in the error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit.ops.registry import Spec
from convkit.program.builder import Builder
from convkit.program.program import Value

if TYPE_CHECKING:
    from convkit.layers.base import Layer
    from convkit.models.graph import Call
    from convkit.models.model import Model


def external_names(model: Model) -> list[str]:
    """Names under which the source arrays of the model's inputs are bound."""
    return ["x"] if len(model.inputs) == 1 else [f"x{i}" for i in range(len(model.inputs))]


def gather(
    builder: Builder,
    buffer: str,
    sample: Spec,
    dtype: str,
    shape: Sequence[int],
    *,
    indexed: bool,
    scale: float = 1.0,
    offset: float = 0.0,
) -> Value:
    """Emit the gather_rows that assembles one batch from a bound array.

    Parameters
    ----------
    buffer : str
    sample : Spec
        Shape of one sample and dtype of the source.
    dtype : str
        Of the batch.
    shape : sequence of int
        Of one sample as the model sees it (a grey image gains its channel axis here).
    indexed : bool
        Whether the rows come in the order of an index array.
    """
    batch = builder.program.batch
    # The source has any number of rows; a kernel reads its row size only.
    source = builder.external(buffer, Spec((batch, *sample.shape), sample.dtype))
    index = builder.external("index", Spec((batch,), "int64")) if indexed else None
    out = Value(buffer, Spec((batch, *sample.shape), dtype))
    params = {"scale": scale, "offset": offset}
    builder.emit("gather_rows", "forward", [source, index], params, out=[out])
    return builder.view(out, (batch, *shape))


def pass_masks(
    builder: Builder, layer: Layer, inputs: Sequence[Value], outputs: Sequence[Value]
) -> None:
    """Pass the mask of a layer's inputs on to those outputs that have the same steps.

    A layer that changes the steps says itself, by `Builder.set_mask`, which of them count.

    Raises
    ------
    ValueError
        If an output keeps the steps and the layer does not know masks: losses and the layers
        behind it would count the padding.
    """
    masks = [mask for mask in map(builder.mask, inputs) if mask is not None]
    if not masks:
        return
    for value in outputs:
        shape = value.spec.shape
        if builder.says_mask(value) or len(shape) < 3 or shape[:2] != masks[0].spec.shape:
            continue
        if not layer.supports_masking:
            raise ValueError(
                f"{layer.title} would lose the mask of its input, and padding would count as "
                f"steps of its output {shape}; put it before the layer that masks, into "
                "TimeDistributed where it is to treat steps one by one, or set supports_masking = "
                "True in a layer of one's own whose output has the same steps"
            )
        builder.set_mask(value, masks[0])


def _outputs(call: Call, emitted: Any) -> list[Value]:
    """What a layer emitted, if it is what its `compute_output_shape` promises.

    Raises
    ------
    TypeError, ValueError
    """
    outputs = emitted if isinstance(emitted, list) else [emitted]
    if len(outputs) != len(call.outputs) or not all(isinstance(v, Value) for v in outputs):
        wanted = "a Value" if len(call.outputs) == 1 else f"a list of {len(call.outputs)} Values"
        raise TypeError(f"{call.layer.title}: emit returned {emitted!r}, expected {wanted}")
    for node, value in zip(call.outputs, outputs, strict=True):
        if value.spec.shape[1:] != node.shape[1:]:
            raise ValueError(
                f"{call.layer.title}: emit made shape {(None, *value.spec.shape[1:])}, and "
                f"compute_output_shape says {node.shape}"
            )
    return outputs


def lower(model: Model, builder: Builder, inputs: Sequence[Spec], *, indexed: bool) -> list[Value]:
    """Emit the forward pass of a model and return its predictions.

    Parameters
    ----------
    model : Model
        Built.
    builder : Builder
    inputs : sequence of Spec
        Of one sample of each source array: shape without the batch axis, source dtype.
    indexed : bool

    Returns
    -------
    list of Value
    """
    # Imported here: layers import the program's types.
    from convkit.layers import Rescaling

    values: dict[int, Value] = {}
    folded: set[int] = set()
    for node, sample, buffer in zip(model.inputs, inputs, external_names(model), strict=True):
        # A Rescaling that is the only reader of an input costs nothing: the gather scales.
        readers = [call for call in model.calls if any(node is n for n in call.inputs)]
        scale, offset = 1.0, 0.0
        first = readers[0].layer if len(readers) == 1 else None
        if isinstance(first, Rescaling):
            scale, offset = first.scale, first.offset
            folded.add(id(readers[0]))
        builder.layer = ""
        shape = tuple(n or 0 for n in node.shape[1:])
        value = gather(
            builder, buffer, sample, builder.program.dtype, shape,
            indexed=indexed, scale=scale, offset=offset,
        )  # fmt: skip
        values[id(node)] = value
        if isinstance(first, Rescaling):
            values[id(readers[0].outputs[0])] = value
    for call in model.calls:
        if id(call) in folded or id(call.outputs[0]) in values:
            continue
        builder.layer = call.layer.name
        given = [values[id(n)] for n in call.inputs]
        builder.training = builder.differentiated and not call.inference
        outputs = _outputs(call, call.layer.emit(builder, given))
        values.update((id(n), v) for n, v in zip(call.outputs, outputs, strict=True))
        pass_masks(builder, call.layer, given, outputs)
        if builder.program.has_loss and call.layer.activity_regularizer is not None:
            rule = call.layer.activity_regularizer
            for value in outputs:
                builder.add_penalty(value, rule.l1, rule.l2, 1 / builder.program.batch)
    builder.layer, builder.training = "", builder.differentiated
    return [values[id(node)] for node in model.outputs]
