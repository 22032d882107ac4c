"""Time every kernel of gather_rows on batches of real data sets.

Run as ``python benchmarks/ops/bench_gather_rows.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import Call
from convkit.bench.kernels import main
from convkit.ops.registry import Spec, Step

ROWS, BATCH = 8192, 128
# Shape of a sample, type of the source, type of the batch, scale.
SOURCES = {
    "MNIST images": ((28, 28, 1), "uint8", "float32", 1 / 255),
    "MNIST images, floats": ((28, 28, 1), "float32", "float32", 1.0),
    "CIFAR-10 images": ((32, 32, 3), "uint8", "float32", 1 / 255),
    "labels": ((), "int64", "int32", 1.0),
}


def data(rng, shape, dtype):
    source = rng.integers(0, 10 if shape == () else 256, (ROWS, *shape))
    return [source.astype(dtype), rng.permutation(ROWS)]


def calls():
    return [
        Call(
            f"{name}, batch {BATCH}",
            "gather_rows",
            "forward",
            (Spec((ROWS, *shape), dtype), Spec((ROWS,), "int64")),
            {"scale": scale, "offset": 0.0},
            (Spec((BATCH, *shape), to),),
            Step(sample=ROWS // 2),
            fill=lambda rng, shape=shape, dtype=dtype: data(rng, shape, dtype),
        )
        for name, (shape, dtype, to, scale) in SOURCES.items()
    ]


if __name__ == "__main__":
    main("gather_rows", calls(), Path(__file__).parents[1] / "results")
