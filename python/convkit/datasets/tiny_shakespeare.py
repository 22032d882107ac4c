"""Tiny Shakespeare: 1,115,394 characters of plays, for character-level recurrent models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ._files import Reader, Remote, StrPath, UInt8Array, locate

__all__ = ["decode", "load_data"]

_FILE = Remote(
    "input.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
_MAX_BYTES = 1 << 26


def load_data(
    split: float = 0.9, root: StrPath | None = None
) -> tuple[tuple[UInt8Array, UInt8Array], str]:
    """Load the text as numbers of characters.

    Parameters
    ----------
    split : float
        The training text is the first ``int(split * length)`` characters; the test text is the
        rest. Between 0 and 1, both excluded.
    root : path, optional
        A folder that holds ``tinyshakespeare/input.txt``. Without it (or without the file in it):
        ``CONVKIT_DATA``, the user's cache, a download of 1.1 MB.

    Returns
    -------
    (train, test), vocabulary
        uint8 ids ``(1003854,)`` and ``(111540,)``, and the 65 distinct characters of the whole
        text in the order of their code points: id ``i`` stands for ``vocabulary[i]``. Inputs and
        targets of a model are ``train[:-1]`` and ``train[1:]``. Another UTF-8 text in place of
        the file gives other numbers.

    Raises
    ------
    FileNotFoundError
        The file is nowhere and cannot be downloaded; the message lists the places.
    ValueError
        `split` is out of range; or the file is no UTF-8, has fewer than 2 characters, over 256
        distinct ones or over 64 MiB. Or a download has the wrong SHA-256.

    References
    ----------
    A. Karpathy, "The Unreasonable Effectiveness of Recurrent Neural Networks", 2015, and its
    repository char-rnn; text in the public domain.
    """
    if not 0 < split < 1:
        raise ValueError(f"[tiny_shakespeare] split must lie between 0 and 1, got {split}")
    place = locate("tiny_shakespeare", "tinyshakespeare", _missing, [_FILE], root)
    path = place / _FILE.name
    with Reader(path, _MAX_BYTES) as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise ValueError(
            f"[tiny_shakespeare] {path}: byte {err.start}: expected UTF-8, "
            f"found {data[err.start]:02x}"
        ) from err
    if len(text) < 2:
        raise ValueError(
            f"[tiny_shakespeare] {path}: byte {len(data)}: expected at least 2 characters, "
            "found the end of the file"
        )
    points, ids = np.unique(np.frombuffer(text.encode("utf-32-le"), "<u4"), return_inverse=True)
    if len(points) > 256:
        raise ValueError(
            f"[tiny_shakespeare] {path}: expected at most 256 distinct characters (ids are uint8), "
            f"found {len(points)}"
        )
    ids8 = ids.reshape(-1).astype(np.uint8)
    cut = int(split * len(text))
    return (ids8[:cut], ids8[cut:]), "".join(map(chr, points))


def decode(ids: npt.NDArray[np.integer], vocabulary: str) -> str:
    """The text that `ids` (integers of any shape, read in C order) stand for in `vocabulary`.

    Raises
    ------
    IndexError
        An id is not below ``len(vocabulary)`` or is negative.
    """
    flat = np.asarray(ids).reshape(-1)
    if flat.size and not 0 <= flat.min() <= flat.max() < len(vocabulary):
        raise IndexError(
            f"[tiny_shakespeare] ids run from {flat.min()} to {flat.max()}, the vocabulary has "
            f"{len(vocabulary)} characters"
        )
    return "".join(vocabulary[i] for i in flat)


def _missing(place: Path) -> list[str]:
    return [] if (place / _FILE.name).is_file() else [_FILE.name]
