"""Files that are written whole or not at all, and archives of JSON and safetensors members.

An archive is an uncompressed zip: what a member takes in memory is what it takes in the file, and
nothing in it is run, imported or looked up elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
import re
import secrets
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from convkit.saving import safetensors

__all__ = ["member_names", "read_archive", "replace_file", "writable_place", "write_archive"]

StrPath = str | os.PathLike[str]
Member = Mapping[str, Any]

JSON_LIMIT = 64 * 2**20  # bytes of a member
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.(json|safetensors)")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# What zipfile raises on files that are none, besides ValueError.
_BAD_ZIP = (
    zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OverflowError, struct.error,
    zlib.error, IndexError, KeyError,
)  # fmt: skip


# Writing.


def _host() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _remove_stale(target: Path) -> None:
    """Delete what processes of this machine that died while they wrote this file have left."""
    begin = f".{target.name}.{_host()}-"
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            found = re.fullmatch(r"(\d{1,9})-[0-9a-f]{8}\.tmp", entry.name.removeprefix(begin))
            if found is None or not entry.name.startswith(begin):
                continue
            try:
                os.kill(int(found[1]), 0)
            except ProcessLookupError:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
            except OSError:
                pass  # of another user, and so alive


def _sync_folder(folder: Path) -> None:
    """Make the folder's list of names durable, where the system has a way to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _place(path: StrPath) -> Path:
    """Where a path leads, links followed, if that is or can become a regular file."""
    given = Path(path)
    target = Path(os.path.realpath(given))
    if target.is_dir() or os.fspath(path).endswith(os.sep):
        raise IsADirectoryError(f"{given} is a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {given}: there is no folder {target.parent}")
    if target.exists() and not target.is_file():
        raise OSError(f"cannot write {given}: it is not a regular file; give the name of one")
    return target


def writable_place(path: StrPath) -> Path:
    """Refuse a path that `replace_file` could not write to, before the work that goes into it.

    Returns
    -------
    Path
        Where the path leads; nothing there is changed.

    Raises
    ------
    OSError
        If it is a folder, a device or a pipe, or its folder does not exist or cannot be written to.
    """
    target = _place(path)
    try:
        with tempfile.TemporaryFile(dir=target.parent):  # who may do everything finds out only so
            pass
    except OSError as error:
        why = os.strerror(error.errno or errno.EACCES)
        raise type(error)(f"cannot write {path}: {target.parent}: {why}") from None
    return target


def replace_file(path: StrPath, write: Callable[[IO[bytes]], None], overwrite: bool = True) -> Path:
    """Write a file; whoever reads it meets the old one or the new one whole, even after a crash.

    Parameters
    ----------
    path : path
        A link is followed. An old file's mode is kept.
    write : callable
        Writes the contents to the binary file that it is given.
    overwrite : bool
        Whether an old file is replaced.

    Returns
    -------
    Path
        As given.

    Raises
    ------
    FileExistsError
        If there is a file and `overwrite` is False.
    OSError
        If it cannot be written; an old file is as it was.
    """
    given = Path(path)
    target = _place(path)
    if target.exists() and not overwrite:
        raise FileExistsError(f"there is a file {given}, and overwrite is False")
    _remove_stale(target)
    # In the same folder, so that the rename is one step of the file system.
    draft = target.with_name(f".{target.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(draft, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(draft, stat.S_IMODE(target.stat().st_mode))
        os.replace(draft, target)
    except OSError as error:
        if error.errno is None:
            raise
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PermissionError(f"no file can be written in {target.parent}") from None
        raise OSError(
            error.errno, f"cannot write {given}: {os.strerror(error.errno)}; an old file is kept"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    _sync_folder(target.parent)
    return given


def write_archive(path: StrPath, members: Mapping[str, Member], overwrite: bool = True) -> Path:
    """Write an archive, whole or not at all.

    Parameters
    ----------
    path : path
    members : mapping of str to mapping
        By name: of ".json" what JSON has, NaN and infinities too; of ".safetensors" arrays by name.
    overwrite : bool
        Whether an old file is replaced.

    Returns
    -------
    Path

    Raises
    ------
    TypeError, ValueError
        If something cannot be stored; no file is touched then.
    OSError
        If the file cannot be written; see `replace_file`.

    Notes
    -----
    Equal members give equal files, byte by byte.
    """
    texts: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    for name, member in members.items():
        _check_name(name, "an archive")
        if name.endswith(".json"):
            texts[name] = to_json(member, name)
            sizes[name] = len(texts[name])
        else:
            sizes[name] = safetensors.size_of(member)

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, member in members.items():
                info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                info.file_size = sizes[name]
                info.external_attr = 0o644 << 16
                with archive.open(info, "w") as out:
                    if name in texts:
                        out.write(texts[name])
                    else:
                        safetensors.write(out, member)

    return replace_file(path, write, overwrite)


def to_json(value: Any, title: str) -> bytes:
    """UTF-8 JSON of a member; a number that is not finite becomes ``{"float": "nan"}``.

    Raises
    ------
    TypeError, ValueError
        If JSON has no such value; the message says where it is.
    """
    text = json.dumps(_plain(value, title), indent=1, ensure_ascii=False, allow_nan=False).encode()
    if len(text) > JSON_LIMIT:
        raise ValueError(f"{title} has {len(text)} bytes, more than {JSON_LIMIT}")
    return text


def _plain(value: Any, title: str) -> Any:
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{title}: keys must be strings, got {key!r}")
        if set(value) == {"float"} and isinstance(value["float"], str):
            raise ValueError(f"{title}: {dict(value)!r} would be read as a number")
        return {key: _plain(item, f"{title}, {key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{title}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, np.bool_ | np.integer | np.floating):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{title}: {type(value).__name__} {value!r} cannot be stored as JSON")


def from_json(text: bytes, title: str) -> dict[str, Any]:
    """The object in a JSON member.

    Raises
    ------
    ValueError
        If there is none.
    """
    try:
        value = json.loads(
            text.decode(), object_pairs_hook=_object, parse_constant=_refuse, parse_int=_int
        )
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{title} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{title} must be a JSON object, not {type(value).__name__}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = safetensors.without_duplicates(pairs)
    if set(found) == {"float"} and isinstance(found["float"], str):
        return _NOT_FINITE.get(found["float"], found)
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not part of JSON")


def _int(digits: str) -> int:
    if len(digits) > 40:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _check_name(name: str, title: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{title} cannot have a member {name!r}: members are named like config.json and "
            "weights.safetensors, without folders"
        )


# Reading.


@contextmanager
def _damaged(title: str) -> Iterator[None]:
    """Say of whatever a broken archive makes zipfile raise that the file is to blame."""
    try:
        yield
    except (ValueError, *_BAD_ZIP) as error:
        clear = isinstance(error, ValueError) and title in str(error)
        raise error if clear else ValueError(f"{title} is damaged or cut off: {error}") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the file's begin
            raise
        raise ValueError(f"{title} is damaged or cut off") from None


@contextmanager
def _opened(path: StrPath) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """An archive with its members by name, checked but for their contents."""
    title = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{title} is a folder, not a file")
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {title}")
    if not os.path.isfile(path):
        raise ValueError(f"{title} is not a regular file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        with _damaged(title):
            archive = zipfile.ZipFile(file)
        with archive:
            infos: dict[str, zipfile.ZipInfo] = {}
            for info in archive.infolist():
                name = info.orig_filename  # as in the file, before zipfile tidies it up
                if name.endswith(".npy"):
                    raise ValueError(
                        f"{title} is an .npz file, which holds weights alone: make the model and "
                        "call its load_weights"
                    )
                _check_name(name, title)
                if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
                    raise ValueError(f"{title}: {name} is compressed or encrypted")
                if info.compress_size != info.file_size:
                    raise ValueError(
                        f"{title}: {name} states {info.file_size} bytes and stores "
                        f"{info.compress_size}"
                    )
                if name in infos:
                    raise ValueError(f"{title}: {name} is there twice")
                infos[name] = info
            total = sum(info.file_size for info in infos.values())
            if total > size:
                raise ValueError(f"{title} has {size} bytes, and its members state {total}")
            yield archive, infos


def member_names(path: StrPath) -> list[str]:
    """Names of the members of an archive, in order.

    Raises
    ------
    OSError, ValueError
        As `read_archive`.
    """
    with _opened(path) as (_, infos):
        return list(infos)


def read_archive(path: StrPath, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """Read members of an archive.

    Parameters
    ----------
    path : path
    names : iterable of str, optional
        By default all members. Members beyond those that a reader knows are no error.

    Returns
    -------
    dict of str to dict
        As given to `write_archive`; tuples have become lists.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
    ValueError
        If the file is no archive or is damaged, or lacks one of `names`. Nothing from it has run,
        and not more than its size was allocated for arrays.
    """
    title = os.fspath(path)
    with _opened(path) as (archive, infos):
        found: dict[str, dict[str, Any]] = {}
        for name in infos if names is None else names:
            if name not in infos:
                raise ValueError(f"{title} has no {name}; it has {', '.join(infos) or 'nothing'}")
            with _damaged(f"{title}: {name}"):
                found[name] = _read_member(archive, infos[name], f"{title}: {name}")
        return found


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, title: str) -> dict[str, Any]:
    with archive.open(info) as file:
        if info.filename.endswith(".json"):
            if info.file_size > JSON_LIMIT:
                raise ValueError(f"{title} has {info.file_size} bytes, more than {JSON_LIMIT}")
            text = file.read()
            if len(text) != info.file_size:
                raise ValueError(f"{title} is cut off")
            return from_json(text, title)
        header = safetensors.read_header(file, info.file_size, title)
        arrays: dict[str, NDArray[Any]] = safetensors.read_arrays(file, header, title)
        file.read(1)  # the end, where zipfile verifies its checksum
        return arrays
