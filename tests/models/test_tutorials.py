"""Code of well-known tutorials, of which only the imports are changed."""

import warnings

import numpy as np
import pytest

from convkit import datasets


@pytest.fixture
def digits():
    (x_train, y_train), (x_test, y_test) = datasets.digits.load_data(size=28)
    return x_train[:256], y_train[:256], x_test[:64], y_test[:64]


def test_one_convolution(capsys):
    from convkit import layers, models

    model = models.Sequential()
    model.add(layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.summary()
    assert "1,384,512" in capsys.readouterr().out
    assert model.count_params() == 320 + 1_384_512


def test_deeper_network_with_pooling(digits):
    from convkit import layers, models

    model = models.Sequential()
    model.add(layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    assert model.count_params() == 55_744
    assert model.output_shape == (None, 3, 3, 64)
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x_train, y_train, x_test, y_test = digits
    model.fit(x_train[..., None] / 255.0, y_train, epochs=1)
    test_loss, test_acc = model.evaluate(x_test[..., None] / 255.0, y_test)
    assert np.isfinite(test_loss) and 0 <= test_acc <= 1


def test_snippets_pasted_in_the_wrong_order():
    from convkit import layers, models

    model = models.Sequential()
    model.add(layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.Flatten())
    model.add(layers.Dense(64, activation="relu"))
    with pytest.raises(ValueError, match="rank 4"):
        model.add(layers.Conv2D(64, (3, 3), activation="relu"))


def test_clothes_with_functions_as_activations(digits):
    import convkit as keras
    import convkit as tf

    model = keras.Sequential(
        [
            keras.layers.Flatten(input_shape=(28, 28)),
            keras.layers.Dense(128, activation=tf.nn.sigmoid),
            keras.layers.Dense(10, activation=tf.nn.softmax),
        ]
    )
    assert model.count_params() == 101_770
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    x_train, y_train, x_test, y_test = digits
    with pytest.warns(UserWarning, match="x / 255"):  # the tutorial forgets to scale
        model.fit(x_train, y_train, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(x_train / 255.0, y_train, epochs=5)
    assert history.history["loss"][-1] < history.history["loss"][0]
    _, test_acc = model.evaluate(x_test / 255.0, y_test)
    predictions = model.predict(x_test / 255.0)
    assert predictions.shape == (64, 10)
    assert test_acc == (predictions.argmax(1) == y_test).mean()


def test_arguments_by_keyword_and_layers_in_a_list(digits):
    from convkit.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
    from convkit.models import Sequential

    model = Sequential(
        [
            Conv2D(filters=8, kernel_size=3, activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D(pool_size=(2, 2)),
            Dropout(0.25),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="categorical_crossentropy", metrics=["accuracy"])
    x_train, y_train, _, _ = digits
    one_hot = np.eye(10)[y_train]
    history = model.fit(
        x=x_train / 255.0, y=one_hot, batch_size=64, epochs=2, verbose=2, validation_split=0.1
    )
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_the_shape_may_come_with_the_data(digits):
    from convkit import layers, models

    model = models.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    x_train, y_train, _, _ = digits
    model.fit(x_train / 255.0, y_train)
    assert model.output_shape == (None, 10)


def test_exclusive_or():
    import convkit as ck

    ck.set_seed(1)
    model = ck.Sequential(
        [
            ck.layers.Dense(8, activation="tanh", input_dim=2),
            ck.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(
        loss="binary_crossentropy", optimizer=ck.optimizers.Adam(0.1), metrics=["accuracy"]
    )
    x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    model.fit(x, y, epochs=200, batch_size=4, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1.0
