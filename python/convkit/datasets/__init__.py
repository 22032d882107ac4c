"""Data sets with Keras's ``load_data()``: pixels and labels as NumPy uint8 arrays.

==================== =========================================== =============================
name                 what                                        needs
==================== =========================================== =============================
`digits`             1,797 handwritten digits, 8x8 or upscaled   nothing, it is in the package
`mnist`              70,000 handwritten digits, 28x28            files
`fashion_mnist`      70,000 pictures of clothes, 28x28           files
`cifar10`            60,000 colour pictures, 32x32x3             files
`tiny_shakespeare`   1,115,394 characters for recurrent models   one file
==================== =========================================== =============================

Files are looked for in ``root=``, then in the folder named by the environment variable
``CONVKIT_DATA``, then in the user's cache; what is nowhere is downloaded into the cache with
its SHA-256 checked (``pip install "convkit[datasets]"``). The layout is the same in all three::

    mnist/train-images-idx3-ubyte.gz          (and the other three; .gz or plain)
    fashion-mnist/train-images-idx3-ubyte.gz  (likewise)
    cifar-10/data_batch_1.bin.gz              (.bin, .bin.gz, or cifar-10-binary.tar.gz)
    tinyshakespeare/input.txt

Files of one data set are never mixed from two places. Local files may differ from the published
ones, so their hash is not checked, but every byte of their format is.

>>> from convkit import datasets
>>> (x_train, y_train), (x_test, y_test) = datasets.digits.load_data()
>>> x_train.shape, y_train.shape, x_test.shape, x_train.dtype.name
((1500, 8, 8), (1500,), (297, 8, 8), 'uint8')
"""

from . import cifar10, digits, fashion_mnist, mnist, tiny_shakespeare
from ._idx import load_idx

__all__ = ["cifar10", "digits", "fashion_mnist", "load_idx", "mnist", "tiny_shakespeare"]
