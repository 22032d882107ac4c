"""Every test runs without network, without the user's cache and without CONVKIT_DATA."""

import gzip
import os
import struct
import sys

import numpy as np
import pytest

from convkit.datasets import _files

REAL_DATA = os.environ.get("CONVKIT_DATA")  # before the fixture below hides it
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@pytest.fixture(autouse=True)
def sealed(monkeypatch, tmp_path):
    monkeypatch.delenv("CONVKIT_DATA", raising=False)
    monkeypatch.setattr(_files, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setitem(sys.modules, "pooch", None)  # importing it is an ImportError


@pytest.fixture
def real():
    """Gives CONVKIT_DATA when it has the folder asked for; else the test is skipped, saying so."""

    def root(folder):
        if not REAL_DATA:
            pytest.skip("CONVKIT_DATA is not set")
        if not os.path.isdir(os.path.join(REAL_DATA, folder)):
            pytest.skip(f"CONVKIT_DATA has no {folder}/")
        return REAL_DATA

    return root


@pytest.fixture
def idx_bytes():
    """Encodes an array as IDX."""
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}

    def encode(array):
        code = codes[array.dtype.str[1:]]
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
        return head + array.astype(array.dtype.newbyteorder(">")).tobytes()

    return encode


@pytest.fixture
def mnist_like(idx_bytes):
    """Writes 7 + 3 random images as MNIST's four files and returns the arrays, images first."""

    def write(folder, packed=True, seed=0):
        rng = np.random.default_rng(seed)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = []
        for name, count in zip(IDX_NAMES, (7, 7, 3, 3)):
            if "images" in name:
                array = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
            else:
                array = rng.integers(0, 10, count).astype(np.uint8)
            data = idx_bytes(array)
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(data) if packed else data)
            arrays.append(array)
        return arrays

    return write
