"""The classics, by their parameter counts."""

import pytest

import convkit as ck
from convkit import layers, models


@pytest.mark.parametrize(
    ("options", "total", "each"),
    [
        ({}, 61_706, {"c1": 156, "c3": 2_416, "c5": 48_120, "f6": 10_164, "output": 850}),
        (
            {"variant": "caffe"},
            431_080,
            {"conv1": 520, "conv2": 25_050, "ip1": 400_500, "ip2": 5_010},
        ),
        ({"input_shape": (32, 32, 1)}, 61_706, {"c1": 156}),
    ],
)
def test_lenet5(options, total, each):
    model = models.lenet5(**options)
    assert model.count_params() == total
    assert {name: model.get_layer(name).count_params() for name in each} == each
    assert model.output_shape == (None, 10)


def test_lenet5_forms():
    modern, caffe = models.lenet5(), models.lenet5("caffe", activation="tanh", classes=3)
    assert [layer.activation.kind for layer in (modern.layers[0], modern.layers[-1])] == [
        "tanh",
        "softmax",
    ]
    assert caffe.get_layer("conv1").activation.kind == "linear"
    assert caffe.get_layer("ip1").activation.kind == "tanh"
    assert caffe.output_shape == (None, 3)
    with pytest.raises(ValueError, match="unknown variant 'cafe'; did you mean 'caffe'"):
        models.lenet5("cafe")


def test_the_tutorials_convolutional_network():
    model = models.Sequential()
    model.add(layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    model.add(layers.MaxPooling2D(pool_size=(2, 2)))
    model.add(layers.Conv2D(64, (3, 3), activation="relu"))
    assert [layer.count_params() for layer in model.layers] == [320, 0, 18_496, 0, 36_928]
    assert model.count_params() == 55_744
    assert model.output_shape == (None, 3, 3, 64)


def test_the_tutorials_one_convolution():
    model = models.Sequential(
        [
            layers.Conv2D(32, (3, 3), activation="relu", input_shape=(28, 28, 1)),
            layers.Flatten(),
            layers.Dense(64, activation=ck.nn.sigmoid),
        ]
    )
    assert [layer.count_params() for layer in model.layers] == [320, 0, 1_384_512]


def test_mlp():
    model = models.mlp([(28, 28), 100, 50, 10], "tanh", None, dropout=0.2, name="net")
    assert [type(layer).__name__ for layer in model.layers] == [
        "Flatten",
        "Dense",
        "Dropout",
        "Dense",
        "Dropout",
        "Dense",
    ]
    assert model.count_params() == 785 * 100 + 101 * 50 + 51 * 10
    assert model.layers[-1].activation.kind == "linear"
    assert model.name == "net"
    with pytest.raises(ValueError, match="sizes needs"):
        models.mlp([10])


def test_get():
    assert models.names() == [
        "alexnet", "char_rnn", "cnn_rnn", "forecaster", "lenet5", "mlp", "rnn_classifier", "vgg11",
        "vgg13", "vgg16", "vgg19",
    ]  # fmt: skip
    assert all(models.get(name)().count_params() for name in models.names())
    with pytest.raises(ValueError, match="unknown model 'lenet'; did you mean 'lenet5'"):
        models.get("lenet")
