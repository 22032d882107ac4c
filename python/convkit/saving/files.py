"""Archives: JSON and arrays in one uncompressed zip, written whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["WEIGHTS", "model_members", "read_archive", "write_archive"]

WEIGHTS = "weights.safetensors"
_DTYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1", "BOOL": "?"}
_NAMES = {np.dtype(v): k for k, v in _DTYPES.items()}


def model_members(model: Any) -> dict[str, Any]:
    from convkit.models.weights import _members

    return {WEIGHTS: {name: p.numpy() for name, p in _members(model).items()}}


def _tensors(arrays: Mapping[str, Any]) -> bytes:
    header, parts, at = {}, [], 0
    for name, array in arrays.items():
        array = np.asarray(array)
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def _arrays(data: bytes) -> dict[str, Any]:
    n = int.from_bytes(data[:8], "little")
    body = memoryview(data)[8 + n :]
    arrays = {}
    for name, entry in json.loads(data[8 : 8 + n]).items():
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(body[begin:end], _DTYPES[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"]).copy()
    return arrays


def write_archive(path: Any, members: Mapping[str, Any]) -> Path:
    target = Path(path)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for name, value in members.items():
                    data = _tensors(value) if name.endswith(".safetensors") else json.dumps(value)
                    archive.writestr(name, data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {target}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return target


def read_archive(path: Any) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        raise ValueError(f"{path} is no file of convkit") from None
    return {
        name: _arrays(data) if name.endswith(".safetensors") else json.loads(data)
        for name, data in members.items()
    }
