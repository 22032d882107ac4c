"""Weights files: NumPy's .npz, one array per parameter under its path, such as "c1.kernel".

What a layer carries from batch to batch (``stateful=True``) belongs to a run and its batch size,
and is no part of a file.
"""

from __future__ import annotations

import os
import re
import secrets
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer
from convkit.layers.recurrent_base import Recurrent

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter

__all__ = ["load_weights", "save_weights"]

StrPath = str | os.PathLike[str]

_STATE = re.compile(r"\.state_[hc]$")  # carried states, in files that have them all the same


def _write(file: IO[bytes], arrays: dict[str, Any]) -> None:
    np.savez(file, allow_pickle=False, **arrays)
    file.flush()
    os.fsync(file.fileno())


def _recurrent(layer: Layer) -> Iterator[Recurrent]:
    """The recurrent layers in a layer, itself included."""
    if isinstance(layer, Recurrent):
        yield layer
    for inner in vars(layer).values():
        if isinstance(inner, Layer):
            yield from _recurrent(inner)


def _members(model: Any) -> dict[str, Parameter]:
    """The parameters of a weights file by path, in order: all but carried states."""
    carried = {id(p) for layer in model.layers for r in _recurrent(layer) for p in r._carried}
    return {p.path: p for p in model.parameters if id(p) not in carried}


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

    Raises
    ------
    OSError
        If the folder does not exist, or the file cannot be written.
    """
    target = _with_suffix(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: there is no folder {target.parent}")
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; give the name of a file in it")
    model.build()
    arrays = {name: p.numpy() for name, p in _members(model).items()}
    # In the same folder, so that the rename is one step of the file system.
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            _write(file, arrays)
        os.replace(draft, target)
    except PermissionError:
        raise PermissionError(f"no file can be written in {target.parent}") from None
    finally:
        draft.unlink(missing_ok=True)
    return target


def _with_suffix(path: StrPath) -> Path:
    target = Path(path)
    return target if target.suffix else target.with_suffix(".npz")


def load_weights(model: Any, path: StrPath) -> None:
    """Read a model's weights; nothing is changed unless the file fits.

    Weights are found by name. A model made a second time without names has other ones ("dense_1"
    where the first has "dense"): weights are then taken in order, if their number, their names in
    the layers (kernel, bias), the layers they share and their shapes agree one by one. States that
    layers carry from batch to batch are neither needed nor read. Loading never runs code from the
    file.

    Parameters
    ----------
    model : Model
    path : path
        As given to `save_weights`, with or without ".npz".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no weights file, or one for another model.
    """
    found = _with_suffix(path)
    if not found.is_file():
        found = Path(path)
    if not found.exists():
        raise FileNotFoundError(f"there is no weights file {found}")
    model.build()
    expected = _members(model)
    try:
        with zipfile.ZipFile(found) as archive:
            sizes = {i.filename.removesuffix(".npy"): i.file_size for i in archive.infolist()}
            sizes = {k: n for k, n in sizes.items() if k in expected or not _STATE.search(k)}
            if set(sizes) != set(expected):
                expected = _in_order(found, model, expected, list(sizes), archive)
            _check_sizes(found, expected, sizes)
        with np.load(found, allow_pickle=False) as file:
            arrays = {name: file[name] for name in expected}
    except zipfile.BadZipFile:
        raise ValueError(f"{found} is not a weights file (.npz)") from None
    for name, array in arrays.items():
        shape, dtype = expected[name].shape, array.dtype
        if array.shape != shape or dtype.kind != "f":
            raise ValueError(f"{found}: {name} is {dtype} {array.shape}, the model's is {shape}")
    for name, array in arrays.items():
        expected[name].assign(array)


def _in_order(
    path: Path,
    model: Any,
    expected: dict[str, Parameter],
    names: Sequence[str],
    archive: zipfile.ZipFile,
) -> dict[str, Parameter]:
    """The model's parameters by the names in the file, where the two differ in names alone."""
    pairs = list(zip(names, expected.values()))
    if len(names) == len(expected) and all(
        name.rpartition(".")[2] == p.name and _shape(archive, name) == p.shape for name, p in pairs
    ):
        layers = {(name.rpartition(".")[0], p.layer) for name, p in pairs}
        if len(layers) == len({a for a, _ in layers}) == len({b for _, b in layers}):
            return dict(pairs)
    missing = sorted(set(expected) - set(names))
    extra = sorted(set(names) - set(expected))
    told = [f"lacks {', '.join(missing)}"] if missing else []
    told += [f"has also {', '.join(extra)}"] if extra else []
    raise ValueError(
        f"{path} is not of model {model.name!r}: it {' and '.join(told)}; layers are found by "
        "their names or, where these differ, in order, which needs the same weights of the same "
        "shapes"
    )


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...] | None:
    """The shape of an array in the file, without reading it; None if it has no plain header."""
    try:
        with archive.open(f"{name}.npy") as file:
            if np.lib.format.read_magic(file) != (1, 0):
                return None
            return tuple(np.lib.format.read_array_header_1_0(file)[0])
    except (KeyError, ValueError):
        return None


def _check_sizes(path: Path, expected: dict[str, Parameter], sizes: dict[str, int]) -> None:
    """Refuse arrays larger than the model's before they are read."""
    for name, parameter in expected.items():
        most = 8 * parameter.size + 4096  # float64 and a header
        if sizes[name] > most:
            raise ValueError(
                f"{path}: {name} has {sizes[name]} bytes, the model's shape is {parameter.shape}"
            )
