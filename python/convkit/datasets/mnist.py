"""MNIST: 70,000 handwritten digits, 28x28 grey."""

from __future__ import annotations

from ._files import StrPath, TrainTest
from ._idx import load_pairs

__all__ = ["load_data"]

_URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_SHA256 = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)


def load_data(root: StrPath | None = None) -> TrainTest:
    """Load MNIST.

    Parameters
    ----------
    root : path, optional
        A folder that holds ``mnist/`` with the four IDX files, gzipped or plain. Without it (or
        without the files in it): ``CONVKIT_DATA``, the user's cache, a download of 11.6 MB.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images ``(60000, 28, 28)`` and ``(10000, 28, 28)``, ink 255 on paper 0; uint8
        labels ``(60000,)`` and ``(10000,)``. Smaller files give smaller arrays.

    Raises
    ------
    FileNotFoundError
        The files are nowhere and cannot be downloaded; the message lists the places.
    ValueError
        A file is broken, or images and labels do not belong together; the message names file,
        byte offset and expectation. Or a download has the wrong SHA-256.

    References
    ----------
    Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", CC BY-SA 3.0.
    Downloaded from the mirror of the Common Visual Data Foundation.
    """
    return load_pairs("mnist", "mnist", _URL, _SHA256, root)
