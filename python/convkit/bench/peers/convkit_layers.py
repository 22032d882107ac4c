"""A pass of a layer by the kernel that convkit chooses, run by the executor as in training."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit import _core
from convkit.bench.kernels import Runner
from convkit.bench.peers.layer_pass import LayerPass, seen

__all__ = ["Layer"]


class Layer:
    """A contender; see `convkit.bench.Contender`."""

    def __init__(self, layer: dict[str, Any], threads: int) -> None:
        _core.set_num_threads(threads)
        self.layer = LayerPass(**layer)
        self.runner = Runner(self.layer.call())
        self.row = self.runner.chosen()
        self.timer = self.runner.timer(self.row)

    def outputs(self) -> dict[str, list[float]]:
        """The results of one run."""
        self.runner.restore()
        self.timer(1)
        results = [a for a in self.runner.results() if a is not None]
        results = results[-1:] if self.layer.which == "update" else results
        return seen({f"result {i}": np.array(a) for i, a in enumerate(results)})

    def run(self, steps: int) -> None:
        self.timer(steps)

    def facts(self) -> dict[str, Any]:
        """The kernel, and what it has to do and to move."""
        call = self.runner.call
        flops = 4 * call.specs[0].size if self.layer.which == "update" else call.flops  # type: ignore[union-attr]
        return {"kernel": self.row.name, "flops": flops, "bytes": call.bytes}
