"""A convolutional autoencoder on the handwritten digits inside the package.

Two convolutions with stride 2 press an image of 64 pixels into 16 numbers; a transposed convolution
and an upsampling with a convolution after it make an image of them again. The best that linear maps
to 16 numbers and back can do is principal component analysis, which is shown beside it.
"""

from __future__ import annotations

import numpy as np

import convkit as ck
from convkit import layers

CODE = 16


def autoencoder() -> ck.Sequential:
    """64 pixels to 16 numbers and back."""
    return ck.Sequential(
        [
            ck.Input((8, 8, 1)),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(CODE, name="code"),
            layers.Dense(2 * 2 * 32, activation="relu"),
            layers.Reshape((2, 2, 32)),
            layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
        ],
        name="autoencoder",
    )


def linear_error(x: np.ndarray, test: np.ndarray) -> float:
    """Mean squared error of the best linear code of that size for x, on test."""
    x, test = x.reshape(len(x), -1), test.reshape(len(test), -1)
    mean = x.mean(axis=0)
    _, _, axes = np.linalg.svd(x - mean, full_matrices=False)
    code = (test - mean) @ axes[:CODE].T
    return float(((code @ axes[:CODE] + mean - test) ** 2).mean())


def picture(image: np.ndarray) -> list[str]:
    """An image in characters."""
    shades = " .:-=+*#%@"
    levels = np.clip(image * len(shades), 0, len(shades) - 1).astype(int)
    return ["".join(2 * shades[level] for level in row) for row in levels]


def main(epochs: int = 30) -> float:
    """Train, and print how near images come to what went in.

    Returns
    -------
    float
        The mean squared error on the test images.
    """
    ck.set_seed(0)
    (x, _), (test, _) = ck.datasets.digits.load_data()
    x, test = (a[..., None].astype(np.float32) / 255 for a in (x, test))
    model = autoencoder()
    model.compile(ck.optimizers.Adam(3e-3), "mse")
    model.fit(x, x, batch_size=32, epochs=epochs, verbose=0)
    error = float(model.evaluate(test, test, verbose=0))
    made = model.predict(test[:4], verbose=0)
    for image, again in zip(test[:4], made, strict=True):
        for left, right in zip(picture(image[..., 0]), picture(again[..., 0]), strict=True):
            print(f"  {left}   {right}")
        print()
    print(f"mean squared error {error:.4f}, with principal components {linear_error(x, test):.4f}")
    return error


if __name__ == "__main__":
    main()
