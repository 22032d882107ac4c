"""Peak memory of training steps, each contender in a process of its own.

Started as ``python -m convkit.bench.memory CONTENDER NETWORK BATCH STEPS THREADS``; prints JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import convkit as ck
from convkit.bench.machine import BLAS_VARIABLES
from convkit.ops.registry import Array

__all__ = ["CONTENDERS", "NETWORKS", "measure_memory"]

NETWORKS: dict[str, Callable[[], Any]] = {
    "AlexNet 2012": lambda: ck.models.alexnet("2012"),
    "AlexNet one-tower": lambda: ck.models.alexnet("one-tower"),
    "AlexNet torchvision": lambda: ck.models.alexnet("torchvision"),
    "VGG16": lambda: ck.models.vgg16(),
}
CONTENDERS = ("convkit", "torch", "torch channels_last")


def measure_memory(
    contender: str, network: str, batch: int, *, steps: int = 2, threads: int = 2
) -> dict[str, float]:
    """Train a few steps with momentum in a process of its own.

    Parameters
    ----------
    contender : str
        Of `CONTENDERS`.
    network : str
        Of `NETWORKS`.
    batch, steps, threads : int

    Returns
    -------
    dict
        "peak_mb" (of the process, from before its first step), "before_mb" (resident just before
        it) and "loss" (of the batch at the beginning, without dropout).

    Raises
    ------
    RuntimeError
        If the process fails.
    """
    environment = {k: v for k, v in os.environ.items() if k not in BLAS_VARIABLES}
    for variable in ("CONVKIT_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = str(threads)
    arguments = [contender, network, str(batch), str(steps), str(threads)]
    command = [sys.executable, "-m", "convkit.bench.memory", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{contender}, {network}, batch {batch}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _status(field: str) -> float:
    """A line of /proc/self/status, in MB."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def _begin() -> float:
    """Give back what is free and start measuring the peak anew; the resident size in MB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status("VmRSS")


def _data(shape: tuple[int, ...], batch: int) -> tuple[Array, Array]:
    rng = np.random.Generator(np.random.Philox(2))
    x = rng.standard_normal((batch, *shape), dtype=np.float32)
    return x, rng.integers(0, 1000, batch).astype(np.int64)


def _convkit(network: str, batch: int, steps: int, threads: int) -> dict[str, float]:
    ck.set_num_threads(threads)
    ck.set_seed(0)
    model = NETWORKS[network]()
    model.compile(ck.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy")
    model.build()
    x, y = _data(model.input_shape[1:], batch)
    loss = float(np.ravel(model.evaluate(x, y, batch_size=batch, verbose=0))[0])
    before = _begin()
    for _ in range(steps):
        model.train_on_batch(x, y)
    return {"before_mb": before, "peak_mb": _status("VmHWM"), "loss": loss}


def _torch(
    network: str, batch: int, steps: int, threads: int, channels_last: bool
) -> dict[str, float]:
    import torch

    from convkit.bench.peers.torch_twin import images, twin

    torch.set_num_threads(threads)
    ck.set_seed(0)
    model = NETWORKS[network]()
    model.build()
    xs, ys = _data(model.input_shape[1:], batch)
    net: Any = twin(model)
    del model
    x, y = images(xs), torch.from_numpy(ys)
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
    else:
        x = x.contiguous()
    criterion = torch.nn.CrossEntropyLoss()
    net.eval()
    with torch.no_grad():
        loss = float(criterion(net(x), y))
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9)
    before = _begin()
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        criterion(net(x), y).backward()
        optimizer.step()
    return {"before_mb": before, "peak_mb": _status("VmHWM"), "loss": loss}


def main(arguments: list[str]) -> None:
    """Measure in this process."""
    contender, network = arguments[:2]
    batch, steps, threads = map(int, arguments[2:])
    if contender == "convkit":
        result = _convkit(network, batch, steps, threads)
    else:
        result = _torch(network, batch, steps, threads, contender.endswith("channels_last"))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
