"""CIFAR-10: 60,000 colour pictures of ten classes, 32x32."""

from __future__ import annotations

import os
import tarfile
import warnings
from pathlib import Path
from typing import IO, cast

import numpy as np

from ._files import Reader, Remote, StrPath, TrainTest, UInt8Array, locate

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = "test_batch.bin"
_RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
_MAX_BYTES = 10_000 * _RECORD  # of one batch
_MAX_TAR_BYTES = 7 * _MAX_BYTES  # six batches, texts and headers
_ARCHIVE = Remote(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_warned: set[tuple[Path, tuple[str, ...]]] = set()


def load_data(root: StrPath | None = None) -> TrainTest:
    """Load CIFAR-10; `CLASS_NAMES` names its ten labels.

    Some of the five training batches suffice: what is there is loaded, in order, and a
    UserWarning names the missing ones, once per folder and process. The test batch must be there.

    Parameters
    ----------
    root : path, optional
        A folder that holds ``cifar-10/`` with ``data_batch_1.bin`` to ``data_batch_5.bin`` and
        ``test_batch.bin``, plain or as ``.bin.gz``, or the published ``cifar-10-binary.tar.gz``
        (read in place, never unpacked to disk). Without it (or without the files in it):
        ``CONVKIT_DATA``, the user's cache, a download of 170 MB.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images ``(50000, 32, 32, 3)`` and ``(10000, 32, 32, 3)``, red first; uint8 labels
        ``(50000, 1)`` and ``(10000, 1)``: two axes, as in Keras. Fewer or smaller batches give
        smaller arrays.

    Raises
    ------
    FileNotFoundError
        The files are nowhere and cannot be downloaded; the message lists the places.
    ValueError
        A batch is broken: no whole number of records of 3,073 bytes, none or more than 10,000
        of them, or a label over 9; the message names file, byte offset and expectation. Or a
        download has the wrong SHA-256.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the binary
    version of https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    place = locate("cifar10", "cifar-10", _missing, [_ARCHIVE], root)
    if _lacking_batches(place):
        batches, source = _read_archive(place / _ARCHIVE.name), place / _ARCHIVE.name
    else:
        found = {name: _either(place, name) for name in (*_TRAIN, _TEST)}
        batches = {name: _read_batch(path) for name, path in found.items() if path is not None}
        source = place
    absent = tuple(name for name in _TRAIN if name not in batches)
    if absent and (source, absent) not in _warned:
        _warned.add((source, absent))
        warnings.warn(
            f"[cifar10] {source} lacks {', '.join(absent)}: the training set has "
            f"{len(_TRAIN) - len(absent)} of {len(_TRAIN)} batches",
            stacklevel=2,
        )
    return _decode([batches[name] for name in _TRAIN if name in batches]), _decode([batches[_TEST]])


def _either(place: Path, name: str) -> Path | None:
    for path in (place / name, place / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _lacking_batches(place: Path) -> list[str]:
    lacking = [_TEST] if _either(place, _TEST) is None else []
    if all(_either(place, name) is None for name in _TRAIN):
        lacking.insert(0, "data_batch_1.bin to data_batch_5.bin")
    return lacking


def _missing(place: Path) -> list[str]:
    return [] if (place / _ARCHIVE.name).is_file() else _lacking_batches(place)


def _read_batch(path: Path) -> UInt8Array:
    with Reader(path) as file:
        return _check(str(path), file.read(_MAX_BYTES + 1))


def _read_archive(path: Path) -> dict[str, UInt8Array]:
    """The batches of the tar file by their base names: one pass, nothing is written to disk."""
    batches: dict[str, UInt8Array] = {}
    # The mode with "|" only calls read(), so the limit of the Reader holds for headers, too.
    with Reader(path, _MAX_TAR_BYTES) as file:
        try:
            with tarfile.open(fileobj=cast(IO[bytes], file), mode="r|") as tar:
                for member in tar:
                    name = os.path.basename(member.name)
                    content = tar.extractfile(member) if member.isreg() else None
                    if content is None or name not in (*_TRAIN, _TEST):
                        continue
                    where = f"{path}, member {member.name}"
                    if name in batches:
                        raise ValueError(f"[cifar10] {where}: expected this batch only once")
                    if member.size > _MAX_BYTES:
                        raise ValueError(
                            f"[cifar10] {where}: byte {_MAX_BYTES}: expected its end, "
                            f"found a size of {member.size} bytes"
                        )
                    batches[name] = _check(where, bytearray(content.read()))
            while file.read(1 << 16):  # the tar file ends before the gzip checksum
                pass
        except tarfile.TarError as err:
            raise ValueError(
                f"[cifar10] {path}: by unpacked byte {file.offset}: expected a tar file ({err})"
            ) from err
    if _TEST not in batches or len(batches) < 2:
        raise ValueError(
            f"[cifar10] {path}: by unpacked byte {file.offset}: expected {_TEST} and at least one "
            f"of {_TRAIN[0]} to {_TRAIN[-1]}, found {', '.join(batches) or 'neither'}"
        )
    return batches


def _check(where: str, data: bytearray) -> UInt8Array:
    """`data` as records (N, 3073), 0 < N <= 10,000, with labels of 0 to 9."""
    if len(data) > _MAX_BYTES:
        raise ValueError(
            f"[cifar10] {where}: byte {_MAX_BYTES}: expected the end of the file after 10,000 "
            f"records of {_RECORD} bytes, found more"
        )
    if not data or len(data) % _RECORD:
        raise ValueError(
            f"[cifar10] {where}: byte {len(data)}: expected a whole number of records of {_RECORD} "
            f"bytes, found the end after {len(data) / _RECORD:.2f}"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    wrong = np.flatnonzero(records[:, 0] > 9)
    if wrong.size:
        raise ValueError(
            f"[cifar10] {where}: byte {wrong[0] * _RECORD}: expected a label of 0 to 9, "
            f"found {records[wrong[0], 0]}"
        )
    return records


def _decode(batches: list[UInt8Array]) -> tuple[UInt8Array, UInt8Array]:
    """Planar records to images (N, 32, 32, 3) and labels (N, 1)."""
    count = sum(map(len, batches))
    x = np.empty((count, 32, 32, 3), np.uint8)
    y = np.empty((count, 1), np.uint8)
    start = 0
    for records in batches:
        stop = start + len(records)
        x[start:stop] = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        y[start:stop] = records[:, :1]
        start = stop
    return x, y
