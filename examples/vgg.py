"""VGG16: its layers, and its convolutions as a feature extractor.

Weights that were trained elsewhere are set with `model.set_weights`; images are (N, H, W, C).
"""

import numpy as np

import convkit as ck


def main() -> float:
    """Train a linear layer on the features of a network that is not trained.

    Returns
    -------
    float
        The accuracy on 64 test images.
    """
    model = ck.models.vgg16()
    print(f"VGG16: {model.count_params():,} parameters")
    base = ck.models.vgg16(include_top=False, input_shape=(32, 32, 3))
    print(f"without its top: {base.count_params():,} parameters, output {base.output_shape[1:]}")

    (x, y), (x_test, y_test) = ck.datasets.digits.load_data(size=28)
    images = [np.pad(a, ((0, 0), (2, 2), (2, 2))) for a in (x[:256], x_test[:64])]
    x, x_test = (np.stack([a] * 3, axis=-1) / np.float32(255) for a in images)
    features, features_test = (base.predict(a, verbose=0).reshape(len(a), -1) for a in (x, x_test))
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    head = ck.models.mlp([features.shape[1], 10])
    head.compile(ck.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    head.fit((features - mean) / deviation, y[:256], epochs=20, verbose=0)
    accuracy = head.evaluate((features_test - mean) / deviation, y_test[:64], verbose=0)[1]
    print(f"a linear head on its random features: {accuracy:.0%} of 64 digits")
    return float(accuracy)


if __name__ == "__main__":
    main()
