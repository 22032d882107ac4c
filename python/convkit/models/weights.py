"""Weights files: NumPy's .npz, one array per parameter under its path, such as "c1.kernel"."""

from __future__ import annotations

import os
import secrets
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

__all__ = ["load_weights", "save_weights"]

StrPath = str | os.PathLike[str]


def _write(file: IO[bytes], arrays: dict[str, Any]) -> None:
    np.savez(file, allow_pickle=False, **arrays)
    file.flush()
    os.fsync(file.fileno())


def save_weights(model: Any, path: StrPath) -> Path:
    """Write a model's weights to a file; whoever reads it meets the old one or the new one whole.

    Parameters
    ----------
    model : Model
    path : path
        ".npz" is appended if it has no suffix.

    Returns
    -------
    Path
        Of the file.
    """
    target = Path(path)
    if not target.suffix:
        target = target.with_suffix(".npz")
    model.build()
    arrays = {p.path: p.numpy() for p in model.parameters}
    # In the same folder, so that the rename is one step of the file system.
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            _write(file, arrays)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def load_weights(model: Any, path: StrPath) -> None:
    """Read a model's weights; nothing is changed unless all names and shapes agree.

    Loading never runs code from the file.

    Parameters
    ----------
    model : Model
    path : path

    Raises
    ------
    ValueError
        If the file is no weights file, or one for another model.
    """
    model.build()
    expected = {p.path: p for p in model.parameters}
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {i.filename.removesuffix(".npy"): i.file_size for i in archive.infolist()}
            _compare(path, model, expected, sizes)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in expected}
    except zipfile.BadZipFile:
        raise ValueError(f"{os.fspath(path)} is not a weights file (.npz)") from None
    for name, array in arrays.items():
        shape, dtype = expected[name].shape, array.dtype
        if array.shape != shape or dtype.kind != "f":
            raise ValueError(
                f"{os.fspath(path)}: {name} is {dtype} {array.shape}, the model's is {shape}"
            )
    for name, array in arrays.items():
        expected[name].assign(array)


def _compare(path: StrPath, model: Any, expected: dict[str, Any], sizes: dict[str, int]) -> None:
    """Refuse other names, and arrays larger than the model's before they are read."""
    missing = sorted(set(expected) - set(sizes))
    extra = sorted(set(sizes) - set(expected))
    if missing or extra:
        told = [f"lacks {', '.join(missing)}"] if missing else []
        told += [f"has also {', '.join(extra)}"] if extra else []
        raise ValueError(
            f"{os.fspath(path)} is not of model {model.name!r}: it {' and '.join(told)}"
        )
    for name, parameter in expected.items():
        most = 8 * parameter.size + 4096  # float64 and a header
        if sizes[name] > most:
            raise ValueError(
                f"{os.fspath(path)}: {name} has {sizes[name]} bytes, the model's shape is "
                f"{parameter.shape}"
            )
