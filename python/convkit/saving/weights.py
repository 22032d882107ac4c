"""Weights files: one array per parameter under its path, such as "c1.kernel".

They are NumPy's .npz, or .safetensors, which other libraries read too. What a layer carries from
batch to batch (``stateful=True``) belongs to a run and its batch size, and is no part of a file.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit.layers.recurrent_base import Recurrent
from convkit.saving import safetensors
from convkit.saving.files import read_archive, replace_file
from convkit.saving.model import WEIGHTS

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter

__all__ = ["load_weights", "save_weights"]

StrPath = str | os.PathLike[str]
Shape = tuple[int, ...]
Arrays = dict[str, NDArray[Any]]

_STATE = re.compile(r"\.state_[hc]$")  # carried states, in files that have them all the same


def _members(model: Any) -> dict[str, Parameter]:
    """The parameters of a weights file by path, in order: all but carried states."""
    parts = [part for layer in model.layers for part in (layer, *layer.inside)]
    carried = {id(p) for part in parts if isinstance(part, Recurrent) for p in part._carried}
    return {p.path: p for p in model.parameters if id(p) not in carried}


def save_weights(model: Any, filepath: StrPath, overwrite: bool = True) -> Path:
    """Write a model's weights to a file; whoever reads it meets the old one or the new one whole.

    Parameters
    ----------
    model : Model
    filepath : path
        Of suffix ".safetensors", or of another one for .npz; that is appended if there is none.
    overwrite : bool
        Whether an old file is replaced.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    OSError
        If the folder does not exist, or the file cannot be written.
    ValueError
        If the suffix is that of whole models.
    """
    target = _with_suffix(filepath)
    if target.suffix == ".convkit":
        raise ValueError(f"{target} is to be of weights alone; for the whole model call save")
    model.build()
    arrays: Arrays = {name: p.numpy() for name, p in _members(model).items()}

    def write(file: IO[bytes]) -> None:
        if target.suffix == ".safetensors":
            safetensors.write(file, arrays, {"format": "np"}, checksums=True)
        else:
            np.savez(file, allow_pickle=False, **arrays)

    return replace_file(target, write, overwrite)


def _with_suffix(path: StrPath) -> Path:
    target = Path(path)
    return target if target.suffix else target.with_suffix(".npz")


def load_weights(model: Any, filepath: StrPath) -> None:
    """Read a model's weights; nothing is changed unless the file fits.

    Weights are found by name. A model made a second time without names has other ones ("dense_1"
    where the first has "dense"): weights are then taken in order, if their number, their names in
    the layers (kernel, bias), the layers they share and their shapes agree one by one. States that
    layers carry from batch to batch are neither needed nor read. Loading never runs code from the
    file.

    Parameters
    ----------
    model : Model
    filepath : path
        As given to `save_weights`, with or without ".npz", or a file of ``model.save``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no weights file, or one for another model.
    """
    found = _with_suffix(filepath)
    if not found.is_file():
        found = Path(filepath)
    if not found.exists():
        raise FileNotFoundError(f"there is no weights file {found}")
    model.build()
    read = {".safetensors": _read_safetensors, ".convkit": _read_model}.get(found.suffix, _read_npz)
    for parameter, array in read(found, model):
        parameter.assign(array)


def _read_safetensors(path: Path, model: Any) -> list[tuple[Parameter, NDArray[Any]]]:
    if not path.is_file():
        raise ValueError(f"{path} is not a regular file")
    with open(path, "rb") as file:
        header = safetensors.read_header(file, os.fstat(file.fileno()).st_size, str(path))
        tensors = header.tensors
        expected = _expected(path, model, list(tensors), lambda name: tensors[name].shape)
        for name, p in expected.items():
            _check(path, name, tensors[name].dtype, tensors[name].shape, p)
        arrays = safetensors.read_arrays(file, header, str(path))
    return [(p, arrays[name]) for name, p in expected.items()]


def _read_model(path: Path, model: Any) -> list[tuple[Parameter, NDArray[Any]]]:
    arrays = read_archive(path, [WEIGHTS])[WEIGHTS]
    expected = _expected(path, model, list(arrays), lambda name: tuple(arrays[name].shape))
    return _checked(path, expected, arrays)


def _read_npz(path: Path, model: Any) -> list[tuple[Parameter, NDArray[Any]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {i.filename.removesuffix(".npy"): i.file_size for i in archive.infolist()}
            expected = _expected(path, model, list(sizes), lambda name: _shape(archive, name))
            _check_sizes(path, expected, sizes)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in expected}
    except zipfile.BadZipFile:
        raise ValueError(f"{path} is not a weights file (.npz)") from None
    return _checked(path, expected, arrays)


def _checked(
    path: Path, expected: dict[str, Parameter], arrays: Mapping[str, NDArray[Any]]
) -> list[tuple[Parameter, NDArray[Any]]]:
    for name, p in expected.items():
        _check(path, name, arrays[name].dtype, arrays[name].shape, p)
    return [(p, arrays[name]) for name, p in expected.items()]


def _check(path: Path, name: str, dtype: np.dtype[Any], shape: Shape, p: Parameter) -> None:
    if shape != p.shape or dtype.kind != "f":
        raise ValueError(f"{path}: {name} is {dtype} {shape}, the model's is {p.shape}")


def _expected(
    path: Path, model: Any, names: list[str], shape: Callable[[str], Shape | None]
) -> dict[str, Parameter]:
    """The model's parameters by the names in the file."""
    expected = _members(model)
    names = [name for name in names if name in expected or not _STATE.search(name)]
    if set(names) == set(expected):
        return expected
    pairs = list(zip(names, expected.values()))
    # The two may differ in names alone.
    if len(names) == len(expected) and all(
        name.rpartition(".")[2] == p.name and shape(name) == p.shape for name, p in pairs
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


def _shape(archive: zipfile.ZipFile, name: str) -> Shape | None:
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
