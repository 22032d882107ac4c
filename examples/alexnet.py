"""AlexNet on 32 x 32 images: digits of the package, enlarged, learnt in a few steps.

The full-size network of 2012 is `ck.models.alexnet()`; it has 61 million parameters.
"""

import numpy as np

import convkit as ck


def main() -> float:
    """Train a little, and print the accuracy before and after.

    Returns
    -------
    float
        The accuracy after 40 steps.
    """
    full = ck.models.alexnet()
    print(f"AlexNet of 2012: {full.count_params():,} parameters, images {full.input_shape[1:]}")

    (x, y), (x_test, y_test) = ck.datasets.digits.load_data(size=28)
    images = [np.pad(a, ((0, 0), (2, 2), (2, 2))) for a in (x, x_test)]
    x, x_test = (np.stack([a] * 3, axis=-1) / np.float32(255) for a in images)
    ck.set_seed(0)
    model = ck.models.alexnet("cifar")
    model.compile(
        ck.optimizers.Adam(3e-4),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    before = model.evaluate(x_test[:200], y_test[:200], verbose=0)[1]
    model.fit(x[:640], y[:640], batch_size=16, epochs=1, verbose=0)
    after = model.evaluate(x_test[:200], y_test[:200], verbose=0)[1]
    print(f"accuracy on 200 digits: {before:.0%} before, {after:.0%} after 40 steps")
    return float(after)


if __name__ == "__main__":
    main()
