"""Finding, downloading and reading the files of a data set."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from convkit.places import cache_dir

StrPath: TypeAlias = "str | os.PathLike[str]"
UInt8Array: TypeAlias = npt.NDArray[np.uint8]
TrainTest: TypeAlias = tuple[tuple[UInt8Array, UInt8Array], tuple[UInt8Array, UInt8Array]]

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Remote:
    """A published file: where it is and the SHA-256 of its bytes."""

    name: str
    url: str
    sha256: str


class Reader:
    """Bounded reads of a plain or gzip file (told by content, as browsers unpack ``.gz`` files).

    Memory grows with the bytes that are there, never with a size that a header claims.

    Parameters
    ----------
    path : path
    limit : int, optional
        Unpacked bytes after which reading on is a ValueError (guards against gzip bombs).
    """

    def __init__(self, path: StrPath, limit: int | None = None) -> None:
        self.path = Path(path)
        self.offset = 0
        self._limit = limit
        self._file: io.BufferedReader | gzip.GzipFile
        self._file = open(self.path, "rb")  # noqa: SIM115 -- close() closes it
        if self._file.read(2) == b"\x1f\x8b":
            self._file.close()
            self._file = gzip.GzipFile(self.path)
        else:
            self._file.seek(0)

    def read(self, count: int) -> bytearray:
        """Up to `count` bytes; fewer only at the end. ValueError when the gzip stream is broken."""
        data = bytearray()
        while len(data) < count:
            try:
                # read1, because read would lose what it has when the stream breaks later.
                chunk = self._file.read1(min(_CHUNK, count - len(data)))
            except (EOFError, zlib.error, gzip.BadGzipFile) as err:
                raise ValueError(
                    f"{self.path}: after unpacked byte {self.offset}: expected a whole gzip "
                    f"stream, found a broken or truncated one ({err})"
                ) from err
            if not chunk:
                break
            data += chunk
            self.offset += len(chunk)
            if self._limit is not None and self.offset > self._limit:
                raise ValueError(f"{self.path}: byte {self._limit}: expected the end of the file")
        return data

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def locate(
    dataset: str,
    folder: str,
    missing: Callable[[Path], Sequence[str]],
    remotes: Sequence[Remote],
    root: StrPath | None,
) -> Path:
    """The first folder that holds the whole data set; downloads it when there is none.

    Parameters
    ----------
    dataset, folder : str
        The name for messages, and the name of its folder in every place.
    missing : callable
        Tells which files a folder lacks; an empty answer makes it the chosen one.
    remotes : sequence of Remote
        What to download into the cache.
    root : path or None
        The user's ``root=``.

    Raises
    ------
    FileNotFoundError
        No place has the files and they cannot be downloaded, or `root` is no folder.
    ValueError
        A downloaded file has another SHA-256 than the published one.
    """
    places: list[tuple[str, Path]] = []
    if root is not None:
        base = Path(root).expanduser()
        if not base.is_dir():
            raise FileNotFoundError(
                f"[{dataset}] root={str(root)!r} is not a folder; it should hold {folder}/"
            )
        places.append(("root=", base / folder))
    env = os.environ.get("CONVKIT_DATA")
    if env:
        places.append(("CONVKIT_DATA", Path(env).expanduser() / folder))
    cache = cache_dir() / folder
    places.append(("cache", cache))

    looked: list[str] = []
    for origin, place in places:
        lacking = missing(place)
        if not lacking:
            return place
        why = f"lacks {', '.join(lacking)}" if place.is_dir() else "no such folder"
        looked.append(f"  {place} ({origin}): {why}")
    if not env:
        looked.append("  the environment variable CONVKIT_DATA is not set")
    ways = f"Set CONVKIT_DATA (or root=) to a folder that holds {folder}/ with these files"
    try:
        _download(remotes, cache)
    except (ImportError, OSError) as err:  # the errors of pooch's downloader are OSErrors
        if isinstance(err, ImportError):
            ways += (
                ", or let them be downloaded; for that convkit[datasets] is needed: "
                'pip install "convkit[datasets]"'
            )
        else:
            ways += f". The download to {cache} failed: {err}"
        message = "\n".join([f"[{dataset}] the data is nowhere. Looked in:", *looked, ways])
        raise FileNotFoundError(message) from err
    return cache


def _download(remotes: Sequence[Remote], folder: Path) -> None:
    import pooch  # an extra, and slow to import

    for remote in remotes:
        pooch.retrieve(
            remote.url, known_hash=f"sha256:{remote.sha256}", fname=remote.name, path=folder
        )
