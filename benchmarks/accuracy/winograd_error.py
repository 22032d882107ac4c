"""Rounding errors of Winograd's convolution beside those of the sums of the definition.

Run as ``python benchmarks/accuracy/winograd_error.py``; writes
``benchmarks/results/winograd-error.md``. Each pass of the layers of VGG16 and AlexNet that may take
the row cpu_winograd is computed in float32 by it and by cpu_implicit_gemm, and held against the
latter in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from convkit.ops import registry
from convkit.ops.conv2d import conv2d_params
from convkit.ops.registry import Array, Row, Spec
from convkit.testing.named_layers import CONV_LAYERS, Conv

PASSES = {"forward": "y", "backward_input": "dx", "backward_weight": "dw"}
NETWORKS = ("vgg16", "alexnet")
IMAGES = 2


def layers() -> Iterator[Conv]:
    for layer in CONV_LAYERS:
        if layer.name.split(".")[0] in NETWORKS and layer.size in (3, 5) and layer.c >= 32:
            yield layer


def operands(layer: Conv, pass_name: str) -> tuple[list[Array | None], list[Spec | None]]:
    """What an activation gave, weights as He et al. draw them, normal gradients; the outputs."""
    rng = np.random.Generator(np.random.Philox(0))
    x = np.maximum(rng.standard_normal((IMAGES, layer.h, layer.w, layer.c)), 0)
    w = rng.standard_normal(layer.w_shape) * np.sqrt(2 / np.prod(layer.w_shape[:3]))
    dy = rng.standard_normal((IMAGES, layer.h, layer.w, layer.k))
    specs = {name: Spec(a.shape) for name, a in (("x", x), ("w", w), ("y", dy))}
    x, w, dy = (a.astype(np.float32) for a in (x, w, dy))
    return {
        "forward": ([x, w, None], [specs["y"]]),
        "backward_input": ([dy, w, None], [specs["x"]]),
        "backward_weight": ([dy, x], [specs["w"], None]),
    }[pass_name]


def result(row: Row, layer: Conv, pass_name: str, dtype: str) -> Array:
    """The pass's first output."""
    inputs, out = operands(layer, pass_name)
    x = (IMAGES, layer.h, layer.w, layer.c)
    params = conv2d_params(x, layer.w_shape, padding=layer.padding)
    given = [None if a is None else a.astype(dtype) for a in inputs]
    outputs = [None if s is None else np.empty(s.shape, dtype) for s in out]
    registry.run(row, params, given, outputs)
    assert outputs[0] is not None
    return outputs[0].astype(np.float64)


def errors(layer: Conv, pass_name: str) -> tuple[float, ...] | None:
    """Root of the mean square and largest, of the direct row and of Winograd's, by the result's."""
    rows = {row.name: row for row in registry.kernels("conv2d", pass_name)}
    if "cpu_winograd" not in rows:
        return None
    exact = result(rows["cpu_implicit_gemm"], layer, pass_name, "float64")
    scale, found = float(np.sqrt(np.mean(exact**2))), []
    for name in ("cpu_implicit_gemm", "cpu_winograd"):
        gap = np.abs(result(rows[name], layer, pass_name, "float32") - exact) / scale
        found += [float(np.sqrt(np.mean(gap**2))), float(gap.max())]
    return tuple(found)


def main() -> None:
    lines = [
        "# Rounding errors of Winograd's convolution",
        "",
        f"Against float64, in units of the root of the mean square of the result; {IMAGES} images, "
        "normal numbers (x after a relu, w scaled as He et al.). The direct row is "
        "cpu_implicit_gemm. Written by `benchmarks/accuracy/winograd_error.py`.",
        "",
        "| layer | | direct, rms | Winograd, rms | ratio | direct, largest | Winograd, largest |",
        "|---|---|---|---|---|---|---|",
    ]
    for layer in layers():
        for pass_name, symbol in PASSES.items():
            found = errors(layer, pass_name)
            if found is None:
                continue
            rms, most, winograd_rms, winograd_most = found
            lines.append(
                f"| {layer.name} | {symbol} | {rms:.1e} | {winograd_rms:.1e} | "
                f"{winograd_rms / rms:.1f} | {most:.1e} | {winograd_most:.1e} |"
            )
            print(lines[-1], flush=True)
    path = Path(__file__).parents[1] / "results" / "winograd-error.md"
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
