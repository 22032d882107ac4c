"""Fashion-MNIST: 70,000 pictures of clothes, 28x28 grey, in MNIST's format."""

from __future__ import annotations

from ._files import StrPath, TrainTest
from ._idx import load_pairs

__all__ = ["CLASS_NAMES", "load_data"]

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

# The publisher's host speaks no https; the digests stand in for it.
_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_SHA256 = (
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)


def load_data(root: StrPath | None = None) -> TrainTest:
    """Load Fashion-MNIST; `CLASS_NAMES` names its ten labels.

    Parameters
    ----------
    root : path, optional
        A folder that holds ``fashion-mnist/`` with the four IDX files, gzipped or plain. Without
        it (or without the files in it): ``CONVKIT_DATA``, the user's cache, a download of 31 MB.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images ``(60000, 28, 28)`` and ``(10000, 28, 28)``; uint8 labels ``(60000,)`` and
        ``(10000,)``. Smaller files give smaller arrays.

    Raises
    ------
    FileNotFoundError
        The files are nowhere and cannot be downloaded; the message lists the places.
    ValueError
        A file is broken, or images and labels do not belong together; the message names file,
        byte offset and expectation. Or a download has the wrong SHA-256.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine
    Learning Algorithms", arXiv:1708.07747; MIT licence, Zalando SE. The SHA-256 are those of
    TensorFlow Datasets.
    """
    return load_pairs("fashion_mnist", "fashion-mnist", _URL, _SHA256, root)
