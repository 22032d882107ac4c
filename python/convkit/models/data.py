"""Checks of the arrays that a user passes; nothing behind this edge checks data again.

uint8, int32, int64, float32 and float64 arrays go to the kernels as they are: the gather of each
batch converts them. Everything else is copied once, or refused with the way out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.cuda.array import asarray, on_gpu
from convkit.models.targets import as_targets, as_weights
from convkit.ops.registry import Array, Spec
from convkit.program.lower import external_names

if TYPE_CHECKING:
    from convkit.losses import Loss
    from convkit.metrics import Metric
    from convkit.models.graph import Node

__all__ = [
    "Samples",
    "as_source",
    "check_samples",
    "check_shape",
    "input_title",
    "is_arrays",
    "require_targets",
    "same_length",
    "warn_output",
]

# Integer dtypes that no kernel gathers, and where they fit without loss.
_WIDER = {"bool": "uint8", "int8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}


@dataclass(frozen=True)
class Samples:
    """Checked arrays of equal length, as an executor binds them.

    Attributes
    ----------
    arrays : dict of str to ndarray
        "x" (or "x0", "x1", ...), "y" and "weight".
    inputs : tuple of Spec
        Of one sample of each input.
    target : Spec or None
        Of one sample of y.
    count : int
    rows : ndarray of int64 or None
        Which rows of the arrays the samples are; None: all, in order.
    """

    arrays: Mapping[str, Array]
    inputs: tuple[Spec, ...]
    count: int
    target: Spec | None = None
    rows: Array | None = None

    @property
    def weighted(self) -> bool:
        return "weight" in self.arrays

    def cut(self, begin: int, end: int) -> Samples:
        """The samples from `begin` to `end`, without a copy."""
        arrays = {name: array[begin:end] for name, array in self.arrays.items()}
        return Samples(arrays, self.inputs, max(end - begin, 0), self.target)

    def part(self, rows: Array) -> Samples:
        """Some of the samples, without a copy."""
        return replace(self, rows=rows, count=len(rows))


def is_arrays(x: object) -> bool:
    """Whether x is data itself, rather than an iterable of batches."""
    known = isinstance(x, np.ndarray | list | tuple | dict) or hasattr(x, "__array__")
    return known or on_gpu(x)


@cache
def _native_name(dtype: np.dtype[Any]) -> str:
    """Name of a dtype in this machine's order of bytes; NumPy takes microseconds to find it."""
    return dtype.newbyteorder("=").name


def _require(array: Array, dtype: str) -> Array:
    """The array as one that kernels can read, itself if it is."""
    flags = array.flags
    if array.dtype == dtype and flags.c_contiguous and flags.aligned and type(array) is np.ndarray:
        return array
    return np.require(array, dtype, ["C", "A"])


def as_source(value: Any, title: str) -> Array:
    """An array that the kernels can gather from, copied only if need be.

    Parameters
    ----------
    value : array_like
    title : str
        Of the argument, in messages.

    Raises
    ------
    TypeError
        If the dtype is not one of real numbers of 32 or 64 bits or integers.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        first = value[0] if isinstance(value, list | tuple) else None
        way = ""
        if isinstance(first, tuple) and any(np.ndim(part) for part in first):
            way = "; if they are batches (x, y), pass convkit.data.prefetch(...) of them"
        raise TypeError(
            f"{title} cannot be made one array: its parts have different shapes{way}"
        ) from None
    name = _native_name(array.dtype)
    if array.dtype.kind in "biu":
        if name == "uint64":
            if array.size and int(array.max()) > np.iinfo(np.int64).max:
                raise TypeError(f"{title} is uint64 with values above 2**63 - 1")
            name = "int64"
        return _require(array, _WIDER.get(name, name))
    if name in ("float32", "float64"):
        return _require(array, name)
    ways = {
        "c": "networks take real numbers: pass its real part or abs()",
        "O": "make it one array of numbers, such as np.stack(x).astype('float32')",
        "U": "turn text into numbers first",
        "S": "turn text into numbers first",
    }
    argument = "y" if title.endswith(" y") else "x"
    way = ways.get(array.dtype.kind, f"convert it: {argument}.astype('float32')")
    raise TypeError(f"{title} has dtype {array.dtype}, which is not supported; {way}")


def _on_device(value: Any, title: str, device: str) -> Any:
    """An array in a GPU's memory, which kernels there read where it is."""
    if device != "cuda":
        raise TypeError(
            f'{title} is on a GPU and the model is not: move the model, model.to("cuda"), or the '
            "data"
        )
    try:
        return asarray(value)
    except (TypeError, ValueError, BufferError) as error:
        raise TypeError(f"{title}: {error}") from error


def _input_arrays(verb: str, nodes: Sequence[Node], x: Any) -> list[Any]:
    """One array-like per input of the model."""
    names = [node.name for node in nodes]
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise ValueError(
                f"[{verb}] x has the keys {sorted(map(str, x))}, the model's inputs are {names}"
            )
        return [x[name] for name in names]
    if len(nodes) > 1:
        if not isinstance(x, list | tuple) or len(x) != len(nodes):
            got = len(x) if isinstance(x, list | tuple) else 1
            raise ValueError(
                f"[{verb}] the model has {len(nodes)} inputs ({', '.join(names)}), x has {got}; "
                "pass a list of arrays or a dict"
            )
        return list(x)
    if isinstance(x, list | tuple) and len(x) == 1:
        try:
            shape = np.shape(x[0])
        except ValueError:  # of no one shape, which `as_source` refuses
            shape = ()
        if _fits(nodes[0], shape):
            return [x[0]]  # a list of inputs, rather than of samples
    return [x]


def _fits(node: Node, shape: tuple[int, ...]) -> bool:
    return len(shape) > 0 and tuple(node.shape[1:]) in (shape[1:], (*shape[1:], 1))


def check_shape(verb: str, node: Node, array: Array) -> None:
    """Refuse samples that do not fit an input; a missing last axis of size 1 fits."""
    if _fits(node, array.shape):
        return
    expected, sample = tuple(node.shape[1:]), array.shape[1:]
    hint = ""
    if array.shape in (expected, expected[:-1] if expected[-1:] == (1,) else expected):
        hint = "; this is one sample: add the batch axis, x[None]"
    elif len(expected) == 3 and sample == (expected[2], *expected[:2]):
        hint = "; did you pass channels-first data? x.transpose(0, 2, 3, 1)"
    wanted = ", ".join(["N", *map(str, expected)])
    raise ValueError(
        f"[{verb}] input {node.name!r} expects an array of shape ({wanted}), got {array.shape}"
        f"{hint}"
    )


def check_samples(
    verb: str,
    model: Any,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    loss: Loss | None = None,
) -> Samples:
    """Check a data set against a built model.

    Parameters
    ----------
    verb : str
        Named in messages: "fit", "evaluate", ...
    model : Model
    x : array_like, list or dict of them
    y : array_like, optional
        Needed if there is a loss.
    sample_weight : array_like, optional
    class_weight : mapping of int to float, optional
    loss : Loss, optional

    Returns
    -------
    Samples

    Raises
    ------
    TypeError, ValueError
        Saying what was expected, what came and what to do.
    """
    from convkit.models import streams  # which reads blocks, to be checked here

    values = _input_arrays(verb, model.inputs, x)
    if streams.is_streamed([*values, y]):
        return streams.open_samples(verb, model, values, y, sample_weight, class_weight, loss)
    arrays: dict[str, Array] = {}
    specs = []
    for name, node, value in zip(external_names(model), model.inputs, values, strict=True):
        title = input_title(verb, name, node)
        array = _on_device(value, title, model.device) if on_gpu(value) else as_source(value, title)
        check_shape(verb, node, array)
        node.layer.check_data(title, array)
        for call in model.calls:
            if node in call.inputs and call.layer.looks_at_data:
                seen = asarray(array).numpy() if on_gpu(array) else array
                call.layer.check_data(title, seen)
        arrays[name] = array
        specs.append(Spec(array.shape[1:], _native_name(array.dtype)))
    counts = {name: len(array) for name, array in arrays.items()}
    if loss is None:
        same_length(verb, counts)
        return Samples(arrays, tuple(specs), next(iter(counts.values())))
    require_targets(verb, y, loss)
    output = tuple(model.outputs[0].shape[1:])
    if on_gpu(y):
        y = asarray(y).numpy()  # it is looked at, and small
    given = as_source(y, f"[{verb}] y")
    counts["y"] = len(given) if given.ndim else 0
    if sample_weight is not None:
        counts["sample_weight"] = len(sample_weight)
    same_length(verb, counts)
    targets = as_targets(verb, given, output, loss)
    arrays["y"] = targets
    weights = as_weights(verb, targets, output, loss, sample_weight, class_weight)
    if weights is not None:
        arrays["weight"] = weights
    target = Spec(targets.shape[1:], _native_name(targets.dtype))
    return Samples(arrays, tuple(specs), counts["y"], target)


def input_title(verb: str, name: str, node: Node) -> str:
    """The array for an input of the model, in messages: the only one is the user's x."""
    return f"[{verb}] x" if name == "x" else f"[{verb}] input {node.name!r}"


def require_targets(verb: str, y: Any, loss: Loss) -> None:
    """Refuse to train or to evaluate without targets.

    Raises
    ------
    ValueError
    """
    if y is None:
        raise ValueError(f"[{verb}] y is missing: the loss {loss.name!r} needs targets")


def same_length(verb: str, counts: Mapping[str, int]) -> None:
    """Refuse arrays of different numbers of samples, which `counts` has by argument.

    Raises
    ------
    ValueError
    """
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{name} has {n}" for name, n in counts.items())
        raise ValueError(f"[{verb}] data cardinality is ambiguous: {each} samples")


PROBABILITIES = {  # losses of probabilities, and the function that makes these
    "cross_entropy": "softmax",
    "focal_cross_entropy": "softmax",
    "binary_cross_entropy": "sigmoid",
    "binary_focal_cross_entropy": "sigmoid",
}


def warn_output(model: Any, loss: Loss, metrics: Sequence[Metric], stacklevel: int = 3) -> None:
    """Warn if the loss or a metric takes probabilities for logits, or logits for probabilities."""
    layer = model.outputs[0].layer
    function = getattr(layer, "activation", None) or getattr(layer, "function", None)
    kind = getattr(function, "kind", None)
    if kind in ("softmax", "sigmoid") and loss.kind.startswith(f"{kind}_"):
        warnings.warn(
            f"layer {layer.name!r} ends in {kind}, and the loss with from_logits=True applies it "
            f"once more; leave out from_logits=True, or activation={kind!r}",
            UserWarning,
            stacklevel=stacklevel,
        )
        return
    wanted = PROBABILITIES.get(loss.kind)
    if wanted and kind == "linear":
        warnings.warn(
            f"layer {layer.name!r} has no activation, and the loss {loss.name!r} takes "
            f"probabilities; give the layer activation={wanted!r}, or the loss from_logits=True",
            UserWarning,
            stacklevel=stacklevel,
        )
    missing = [(m.name, m.for_logits) for m in metrics if m.for_logits]
    if missing and loss.kind.startswith(("softmax_", "sigmoid_")):
        wanted = loss.kind.partition("_")[0]
        named = ", ".join(  # no threshold of a logit is one of softmax
            f"{name!r} ({argument})" if wanted == "sigmoid" or "from" in argument else repr(name)
            for name, argument in missing
        )
        warnings.warn(
            f"the loss has from_logits=True, but these metrics take probabilities: {named}; give "
            f"them the argument in brackets, or let the model end in {wanted} and leave out "
            "from_logits=True",
            UserWarning,
            stacklevel=stacklevel,
        )
