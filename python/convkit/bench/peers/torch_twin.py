"""The PyTorch twin of a chain of convkit layers: the same layers with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from convkit import layers
from convkit.bench.peers import torch_recurrent
from convkit.models import Sequential
from convkit.ops.registry import Array

__all__ = ["gradients", "images", "trainable", "twin"]

# The weights are copied in, so that PyTorch need not draw any.
_without_weights: Any = torch.nn.utils.skip_init
_ACTIVATIONS: dict[str, Any] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def twin(model: Sequential) -> nn.Sequential:
    """Make the same network in PyTorch, with copies of the weights.

    Images are (N, C, H, W) there, see `images`. A softmax at the end is left out: PyTorch's
    cross-entropy takes logits.

    Parameters
    ----------
    model : Sequential
        Built, of layers for images or of recurrent ones.

    Returns
    -------
    nn.Sequential

    Raises
    ------
    TypeError
        If there is no twin of a layer.
    """
    made: list[nn.Module] = []
    flattened: tuple[int, ...] = ()  # the (H, W, C) that a Flatten has joined, until a Dense
    for call in model.calls:
        layer, shape = call.layer, call.inputs[0].shape
        if isinstance(layer, layers.Flatten):
            flattened = tuple(n or 0 for n in shape[1:]) if len(shape) == 4 else ()
            made.append(nn.Flatten())
            continue
        if isinstance(layer, layers.Dense):
            made.append(_dense(layer, flattened))
            flattened = ()
        elif isinstance(layer, layers.Conv2D):
            made += _conv2d(layer, shape)
        elif isinstance(layer, layers.MaxPooling2D | layers.AveragePooling2D):
            made.append(_pooling(layer, shape))
        elif isinstance(layer, layers.Dropout):
            made.append(nn.Dropout(layer.rate))
        elif isinstance(layer, layers.BatchNormalization):
            made.append(_batch_norm(layer, len(shape)))
        elif isinstance(layer, layers.LocalResponseNormalization):
            made.append(_lrn(layer))
        elif type(layer) in torch_recurrent.KINDS:
            made.append(torch_recurrent.make(layer, int(shape[-1] or 0)))
            continue
        elif isinstance(layer, layers.CategoryEncoding):
            made.append(torch_recurrent.OneHot(layer.num_tokens))
        elif isinstance(layer, layers.Reshape):
            made.append(torch_recurrent.Rows(tuple(n or 0 for n in call.outputs[0].shape[1:])))
        elif not isinstance(layer, layers.Activation):
            raise TypeError(f"{layer.title} has no twin in PyTorch")
        function = getattr(layer, "activation", None) or getattr(layer, "function", None)
        if function is not None and function.kind not in ("linear", "softmax"):
            made.append(_ACTIVATIONS[function.kind]())
    return nn.Sequential(*made)


def images(x: Array) -> Any:
    """(N, H, W, C) images as a tensor (N, C, H, W), in memory as they are: channels last."""
    return torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)


def gradients(network: nn.Sequential, model: Sequential) -> list[Array]:
    """The gradients of a twin's weights, in the layout and order of the model's."""
    return _arrays(network, model, lambda p: p.grad.numpy())


def trainable(network: nn.Sequential, model: Sequential) -> list[Array]:
    """A twin's trained weights, in the layout and order of the model's; on the CPU not copied."""
    return _arrays(network, model, lambda p: p.detach().cpu().numpy())


def _arrays(network: nn.Sequential, model: Sequential, of: Callable[[Any], Array]) -> list[Array]:
    found: list[Array] = []
    flattened: tuple[int, ...] = ()
    modules = iter(m for m in network if list(m.parameters(recurse=False)))
    for call in model.calls:
        layer, shape = call.layer, call.inputs[0].shape
        if isinstance(layer, layers.Flatten):
            flattened = tuple(n or 0 for n in shape[1:]) if len(shape) == 4 else ()
        if not layer.trainable_weights:
            continue
        module = next(modules)
        if type(layer) in torch_recurrent.KINDS:
            found += torch_recurrent.arrays(module, of)
            continue
        for name in ("weight", "bias"):
            parameter = getattr(module, name, None)
            if parameter is None:
                continue
            a = of(parameter)
            if isinstance(module, nn.Conv2d) and name == "weight":
                a = a.transpose(2, 3, 1, 0)
            elif isinstance(module, nn.Linear) and name == "weight":
                a = _channels_last_rows(a.T, flattened)
                flattened = ()
            found.append(a)
    return found


def _set(module: nn.Module, **arrays: Array) -> nn.Module:
    with torch.no_grad():
        for name, array in arrays.items():
            target = getattr(module, name)
            target.copy_(torch.from_numpy(np.ascontiguousarray(array)))
    return module


def _channels_last_rows(kernel: Array, flattened: tuple[int, ...]) -> Array:
    """Rows of a dense kernel from PyTorch's order of a flattened image to convkit's."""
    if not flattened:
        return kernel
    h, w, c = flattened
    return kernel.reshape(c, h, w, -1).transpose(1, 2, 0, 3).reshape(h * w * c, -1)


def _dense(layer: layers.Dense, flattened: tuple[int, ...]) -> nn.Module:
    kernel, *bias = layer.get_weights()
    if flattened:
        rows = kernel.reshape(*flattened, -1).transpose(2, 0, 1, 3)
        kernel = rows.reshape(kernel.shape)
    made = _without_weights(nn.Linear, kernel.shape[0], layer.units, bias=layer.use_bias)
    return _set(made, weight=kernel.T, **({"bias": bias[0]} if bias else {}))


def _padding(params: dict[str, Any]) -> tuple[int, int, int, int]:
    return params["pad_left"], params["pad_right"], params["pad_top"], params["pad_bottom"]


def _conv2d(layer: layers.Conv2D, shape: Any) -> list[nn.Module]:
    left, right, top, bottom = _padding(layer._params(shape))
    even = left == right and top == bottom
    kernel, *bias = layer.get_weights()
    made = _without_weights(
        nn.Conv2d, int(shape[3]), layer.filters, layer.kernel_size, layer.strides,
        (top, left) if even else 0, layer.dilation_rate, layer.groups, layer.use_bias,
    )  # fmt: skip
    _set(made, weight=kernel.transpose(3, 2, 0, 1), **({"bias": bias[0]} if bias else {}))
    return [made] if even else [nn.ZeroPad2d((left, right, top, bottom)), made]


def _pooling(layer: Any, shape: Any) -> nn.Module:
    if layer.padding != "valid":
        raise TypeError(f"{layer.title} has no twin in PyTorch: padding is {layer.padding!r}")
    kind = nn.MaxPool2d if isinstance(layer, layers.MaxPooling2D) else nn.AvgPool2d
    made: nn.Module = kind(layer.pool_size, layer.strides)
    return made


def _batch_norm(layer: Any, rank: int) -> nn.Module:
    kind = nn.BatchNorm2d if rank == 4 else nn.BatchNorm1d
    gamma, beta, mean, variance = layer.get_weights()
    made = kind(len(gamma), eps=layer.epsilon, momentum=1 - layer.momentum)
    return _set(made, weight=gamma, bias=beta, running_mean=mean, running_var=variance)


def _lrn(layer: Any) -> nn.Module:
    # PyTorch divides alpha by the size of the window; the paper does not.
    alpha = layer.alpha * (layer.size if layer.alpha_per == "sum" else 1)
    return nn.LocalResponseNorm(layer.size, alpha, layer.beta, layer.k)
