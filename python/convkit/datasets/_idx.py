"""The IDX format of MNIST and its kin: one array of any rank per file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import Reader, Remote, StrPath, TrainTest, UInt8Array, locate

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_RANK = 32  # NumPy 1's limit
_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load_idx(path: StrPath) -> npt.NDArray[Any]:
    """Read one IDX file, plain or gzipped.

    The file is ``00 00 <type> <rank>``, then `rank` big-endian uint32 sizes, then the values in C
    order, big-endian. It must have exactly that length. No memory is set aside for what the
    header claims before the bytes are there.

    Parameters
    ----------
    path : path
        The file; gzip is told by its content, not by the name.

    Returns
    -------
    ndarray
        Shape from the header; dtype uint8, int8, int16, int32, float32 or float64 in native byte
        order; writable.

    Raises
    ------
    ValueError
        Wrong magic, rank of 0 or over 32, sizes whose product overflows, a truncated file or
        trailing bytes. The message names file, byte offset and expectation.
    FileNotFoundError
        There is no such file.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File
    formats for the MNIST database".
    """
    with Reader(path) as file:
        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\x00\x00":
            raise ValueError(
                f"[load_idx] {path}: byte 0: expected the magic 00 00 <type> <rank>, "
                f"found {magic.hex(' ') or 'an empty file'}"
            )
        if magic[2] not in _DTYPES:
            known = ", ".join(f"{code:02x}" for code in _DTYPES)
            raise ValueError(
                f"[load_idx] {path}: byte 2: expected a type of {known}, found {magic[2]:02x}"
            )
        rank = magic[3]
        if not 1 <= rank <= _MAX_RANK:
            raise ValueError(
                f"[load_idx] {path}: byte 3: expected 1 to {_MAX_RANK} dimensions, found {rank}"
            )
        header = file.read(4 * rank)
        if len(header) < 4 * rank:
            raise ValueError(
                f"[load_idx] {path}: byte {file.offset}: expected {rank} sizes of 4 bytes, "
                "found the end of the file"
            )
        shape = tuple(int(size) for size in np.frombuffer(header, ">u4"))
        dtype = np.dtype(_DTYPES[magic[2]])
        # NumPy refuses such a shape even when another size is 0.
        if math.prod(max(size, 1) for size in shape) * dtype.itemsize >= 1 << 63:
            raise ValueError(
                f"[load_idx] {path}: byte 4: expected sizes that fit in memory, found {shape}"
            )
        count = math.prod(shape) * dtype.itemsize
        start = file.offset
        data = file.read(count + 1)
    if len(data) != count:
        found = "more bytes" if len(data) > count else "its end"
        raise ValueError(
            f"[load_idx] {path}: byte {start + min(len(data), count)}: expected {count} bytes of "
            f"{dtype.name} {shape} after the header of {start} bytes and then the end of the file, "
            f"found {found}"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def load_pairs(
    dataset: str, folder: str, url: str, digests: tuple[str, ...], root: StrPath | None
) -> TrainTest:
    """MNIST's four files: 28x28 images and labels of 0 to 9, for training and for testing.

    `url` ends in a slash; `digests` are the SHA-256 of the gzipped files in the order of `_NAMES`.
    """
    remotes = [
        Remote(f"{name}.gz", f"{url}{name}.gz", digest)
        for name, digest in zip(_NAMES, digests, strict=True)
    ]
    place = locate(dataset, folder, _missing, remotes, root)
    x_train, y_train, x_test, y_test = (_either(place, name) for name in _NAMES)
    return _load_pair(dataset, x_train, y_train), _load_pair(dataset, x_test, y_test)


def _either(place: Path, name: str) -> Path:
    packed = place / f"{name}.gz"
    return packed if packed.is_file() else place / name


def _missing(place: Path) -> list[str]:
    return [f"{name}.gz" for name in _NAMES if not _either(place, name).is_file()]


def _load_pair(dataset: str, x_path: Path, y_path: Path) -> tuple[UInt8Array, UInt8Array]:
    x, y = load_idx(x_path), load_idx(y_path)
    for path, array, rank in ((x_path, x, 3), (y_path, y, 1)):
        if array.dtype != np.uint8:
            raise ValueError(
                f"[{dataset}] {path}: byte 2: expected type 08 (uint8), found {array.dtype.name}"
            )
        if array.ndim != rank:
            raise ValueError(
                f"[{dataset}] {path}: byte 3: expected {rank} dimensions, found {array.ndim}"
            )
    if x.shape[1:] != (28, 28):
        raise ValueError(f"[{dataset}] {x_path}: byte 8: expected 28x28 images, found {x.shape}")
    if len(x) != len(y):
        raise ValueError(
            f"[{dataset}] {y_path}: byte 4: expected {len(x)} labels, one for each image of "
            f"{x_path.name}, found {len(y)}"
        )
    wrong = np.flatnonzero(y > 9)
    if wrong.size:
        raise ValueError(
            f"[{dataset}] {y_path}: byte {8 + wrong[0]}: expected a label of 0 to 9, "
            f"found {y[wrong[0]]}"
        )
    return x, y
