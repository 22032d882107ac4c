"""Training from a file that is larger than one wants in memory.

Run as ``python benchmarks/models/bench_streaming.py [--quick] [--folder DIR]``; writes
``benchmarks/results/streaming.md``. It makes a file of 4 GB in a temporary folder and deletes it;
--quick takes an eighth of everything and writes nothing.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

import convkit as ck
from convkit.bench.machine import measure, without_blas_limits

IMAGES = 5_480_000  # of 784 bytes: 4.3 GB
PART = 200_000  # what the rates are measured on, 0.16 GB
ROUNDS = 5
BATCH = 128
NOTES = """\
A network like LeNet-5 (two convolutions, 61,706 parameters) on grey uint8 images of 28 x 28 with
`Rescaling(1 / 255)` as its first layer, Adam, batch {batch}, float32; `x` is `np.memmap`, the
labels are in memory. Each line is a process of its own.

Memory is that of the whole process, Python and NumPy included. The peak is the system's own
(VmHWM), from just before the epoch; of it, anonymous memory and pages of mapped files are the
largest values of samples every 20 ms. The file was in the system's cache, which does not count.

Rates are those of an epoch over {part:,} images, in memory and mapped by turns, {rounds} times
each: medians, and the medians of the ratios of neighbours, of the rate by the clock and by the time
that the processors spent. "cold" is read from the disk, after the system was told to forget the
file.
"""


def network() -> Any:
    """Compiled, on raw pixels."""
    ck.set_seed(0)
    c = ck.layers
    model = ck.Sequential(
        [
            ck.Input((28, 28, 1)), c.Rescaling(1 / 255),
            c.Conv2D(6, 5, padding="same", activation="relu"), c.MaxPooling2D(),
            c.Conv2D(16, 5, activation="relu"), c.MaxPooling2D(),
            c.Flatten(), c.Dense(120, activation="relu"), c.Dense(84, activation="relu"),
            c.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def make_file(path: Path, images: int) -> None:
    """Random pixels, each row different."""
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        for first in range(0, images, 50_000):
            file.write(rng.bytes(784 * min(50_000, images - first)))
        file.flush()
        os.fsync(file.fileno())


def opened(path: str, images: int) -> tuple[Any, Any]:
    """The mapped images and their labels."""
    x = np.memmap(path, np.uint8, "r", shape=(images, 28, 28, 1))
    return x, np.random.default_rng(1).integers(0, 10, images).astype(np.int32)


def status(*fields: str) -> list[float]:
    """Lines of /proc/self/status, in MB."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return [int(lines[field].split()[0]) * 1024 / 1e6 for field in fields]


class Sampler(threading.Thread):
    """Keeps the largest sizes of anonymous and of mapped memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = [0.0, 0.0]
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.most = [max(pair) for pair in zip(self.most, status("RssAnon", "RssFile"))]


def measure_peak(path: str, images: int, shuffle: Any) -> dict[str, Any]:
    """One epoch over the whole file."""
    x, y = opened(path, images)
    model = network()
    model.fit(x[: 10 * BATCH], y[: 10 * BATCH], batch_size=BATCH, verbose=0)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")[0]
    sampler = Sampler()
    sampler.start()
    start, cpu = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=BATCH, shuffle=shuffle, verbose=0)
    seconds = time.perf_counter() - start
    sampler.done.set()
    sampler.join()
    return {
        "before": before,
        "peak": status("VmHWM")[0],
        "anonymous": sampler.most[0],
        "mapped": sampler.most[1],
        "seconds": seconds,
        "cpu": time.process_time() - cpu,
    }


def measure_rates(path: str, images: int, part: int, shuffle: Any) -> dict[str, Any]:
    """Images per second in memory and mapped, by turns."""
    x, y = opened(path, images)
    x, y = x[:part], y[:part]
    data = {"memory": np.array(x), "mapped": x}
    model = network()
    rates: dict[str, list[float]] = {name: [] for name in data}
    work: dict[str, list[float]] = {name: [] for name in data}
    for turn in range(ROUNDS + 1):
        for name in sorted(data, reverse=bool(turn % 2)):
            start, cpu = time.perf_counter(), time.process_time()
            model.fit(data[name], y, batch_size=BATCH, shuffle=shuffle, verbose=0)
            if turn:  # the first ones warm up
                rates[name].append(part / (time.perf_counter() - start))
                work[name].append(part / (time.process_time() - cpu))

    def ratio(found: dict[str, list[float]]) -> float:
        pairs = zip(found["memory"], found["mapped"], strict=True)
        return statistics.median(b / a for a, b in pairs)

    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {**medians, "ratio": ratio(rates), "work": ratio(work)}


def measure_cold(path: str, images: int, part: int, shuffle: Any) -> dict[str, Any]:
    """Images per second from the disk."""
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    x, y = opened(path, images)
    model = network()
    model.fit(np.array(x[-10 * BATCH :]), y[: 10 * BATCH], batch_size=BATCH, verbose=0)
    start = time.perf_counter()
    model.fit(x[:part], y[:part], batch_size=BATCH, shuffle=shuffle, verbose=0)
    return {"cold": part / (time.perf_counter() - start)}


MEASURES = {"peak": measure_peak, "rates": measure_rates, "cold": measure_cold}


def child(name: str, *arguments: Any) -> dict[str, Any]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps([name, *arguments])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def report(path: Path, images: int, part: int) -> str:
    """Measure everything."""
    size = path.stat().st_size / 1e9
    memory = [
        "| shuffle | file GB | before MB | peak MB | anonymous | mapped | images/s | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    r = child("peak", str(path), images, True)
    memory.append(
        f"| True | {size:.1f} | {r['before']:.0f} | {r['peak']:.0f} "
        f"| {r['anonymous']:.0f} | {r['mapped']:.0f} | {images / r['seconds']:,.0f} "
        f"| {r['cpu']:.0f} |"
    )
    print(memory[-1], flush=True)
    rates = [
        "| shuffle | in memory, images/s | mapped, images/s | ratio | ratio by CPU time "
        "| mapped and cold, images/s |",
        "|---|---|---|---|---|---|",
    ]
    for shuffle in (True, "batch", False):
        r = child("rates", str(path), images, part, shuffle)
        r |= child("cold", str(path), images, part, shuffle)
        rates.append(
            f"| {shuffle} | {r['memory']:,.0f} | {r['mapped']:,.0f} | {r['ratio']:.1%} "
            f"| {r['work']:.1%} | {r['cold']:,.0f} |"
        )
        print(rates[-1], flush=True)
    notes = NOTES.format(batch=BATCH, part=part, rounds=ROUNDS)
    head = ["# Training from a memory-mapped file", f"```\n{measure()}\n```"]
    tables = ["## Memory of one epoch", "\n".join(memory), "## Rates", "\n".join(rates)]
    return "\n\n".join([*head, *tables, notes])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", help="where the file is made")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    without_blas_limits()
    if options.child:
        name, *arguments = json.loads(options.child)
        print(json.dumps(MEASURES[name](*arguments)))
        return
    images, part = (IMAGES // 8, PART // 8) if options.quick else (IMAGES, PART)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "images.u8"
        make_file(path, images)
        text = report(path, images, part)
    if not options.quick:
        (Path(__file__).parents[1] / "results" / "streaming.md").write_text(text)


if __name__ == "__main__":
    main()
