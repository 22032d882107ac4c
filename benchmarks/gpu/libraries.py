"""What kernels are held against on a GPU: copies, and the passes of cuBLAS and cuDNN.

On a CPU, which is for trying the script out, the same calls of PyTorch run there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import conv2d

from convkit.testing.calls import Call

__all__ = ["Timer", "copy", "of_call", "precision_of", "product", "strict"]

Work = Callable[[], Any]


def strict() -> None:
    """No TF32, and the fastest of cuDNN's algorithms."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


class Timer:
    """Seconds of one call: launches are a graph and are timed by events, as convkit's kernels are.

    Parameters
    ----------
    work : callable
    device : str
    """

    def __init__(self, work: Work, device: str) -> None:
        self.work = work
        self.on_gpu = device == "cuda"
        self.launches = 0
        self.graph: Any = None

    def _capture(self, launches: int) -> None:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.work()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            for _ in range(launches):
                self.work()
        self.launches = launches
        self.graph.replay()

    def __call__(self, launches: int) -> float:
        with torch.no_grad():
            if not self.on_gpu:
                start = time.perf_counter()
                for _ in range(launches):
                    self.work()
                return (time.perf_counter() - start) / launches
            if launches != self.launches:
                self._capture(launches)
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            self.graph.replay()
            stop.record()
            stop.synchronize()
            return float(start.elapsed_time(stop)) * 1e-3 / launches


def copy(nbytes: int, device: str) -> Work:
    """A copy that reads half of so many bytes and writes the other half."""
    source = torch.randn(max(nbytes // 8, 1), device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def product(n: int, device: str) -> Work:
    """A product of n x n matrices, of 2 n^3 operations."""
    a, b, c = (torch.randn(n, n, device=device) for _ in range(3))
    return lambda: torch.mm(a, b, out=c)


def of_call(call: Call, device: str, precision: str = "full") -> dict[str, Work]:
    """The same pass by a library, by name; empty where there is none to compare with.

    With the precision "tf32", its products may round operands to that; with "bf16", operands and
    results are of that type in memory, half as many bytes as ours.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    found: dict[str, Work] = {}
    if call.op == "dense" and call.pass_name in ("forward", "backward_input", "backward_weight"):
        found = {"cuBLAS": _dense(call, device, dtype)}
    elif call.op == "conv2d":
        found = _conv2d(call, device, dtype)
    if precision == "full":
        return found
    if precision == "tf32":
        found = {name: _with_tf32(work) for name, work in found.items()}
    return {f"{name}, {precision.upper()}": work for name, work in found.items()}


def precision_of(name: str) -> str:
    """Of a library's pass that `of_call` gave."""
    last = name.rpartition(", ")[2].lower()
    return last if last in ("tf32", "bf16") else "full"


def _with_tf32(work: Work) -> Work:
    def allowed() -> Any:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        try:
            return work()
        finally:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    return allowed


def _dense(call: Call, device: str, dtype: torch.dtype) -> Work:
    arrays = [a for a in call.arrays()[:2] if a is not None]
    first, second = (torch.from_numpy(a).to(device, dtype).reshape(-1, a.shape[-1]) for a in arrays)
    if call.pass_name == "backward_input":  # dy, w
        second = second.T
    elif call.pass_name == "backward_weight":  # dy, x
        first, second = second.T, first
    out = torch.mm(first, second)
    return lambda: torch.mm(first, second, out=out)


def _conv2d(call: Call, device: str, dtype: torch.dtype) -> dict[str, Work]:
    p = call.params
    if p["pad_top"] != p["pad_bottom"] or p["pad_left"] != p["pad_right"]:
        return {}
    stride, dilation = [p["stride_h"], p["stride_w"]], [p["dilation_h"], p["dilation_w"]]
    padding, groups, which = [p["pad_top"], p["pad_left"]], p["groups"], call.pass_name
    first, second = call.arrays()[:2]
    assert first is not None and second is not None
    out = call.outputs()[0]
    assert out is not None
    found: dict[str, Work] = {}
    for name, layout in (
        ("cuDNN", torch.contiguous_format),
        ("cuDNN, channels_last", torch.channels_last),
    ):

        def images(a: Any, layout: Any = layout) -> Any:
            return a.to(device, dtype).permute(0, 3, 1, 2).contiguous(memory_format=layout)

        def filters(w: Any, layout: Any = layout) -> Any:
            return w.to(device, dtype).permute(3, 2, 0, 1).contiguous(memory_format=layout)

        a, b = torch.from_numpy(first), torch.from_numpy(second)
        if which == "forward":
            x, w, bias = images(a), filters(b), call.arrays()[2]
            given = None if bias is None else torch.from_numpy(bias).to(device, dtype)
            found[name] = lambda x=x, w=w, given=given: conv2d(
                x, w, given, stride, padding, dilation, groups
            )
            continue
        to_input = which == "backward_input"
        dy = images(a)
        x = images(torch.empty(out.shape) if to_input else b)
        w = filters(b if to_input else torch.empty(out.shape))
        mask = [to_input, not to_input, not to_input]
        found[name] = lambda dy=dy, x=x, w=w, mask=mask: torch.ops.aten.convolution_backward(
            dy, x, w, [w.shape[0]], stride, padding, dilation, False, [0, 0], groups, mask
        )
    return found
